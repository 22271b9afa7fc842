import type { Attributes, HrTime } from "@opentelemetry/api";

export { METRICS, type MetricDefinition } from "./catalog.ts";
export { type ScrapeAddress, scrapeAddressSchema, type TelemetryConfig, telemetrySchema } from "./config.ts";
export { failureOf } from "./failure.ts";
export { otelInterceptor } from "./interceptor.ts";
export { count, observe, record } from "./metrics.ts";
export { startTelemetry, type Telemetry, type TelemetryDeps } from "./start.ts";
export {
  callerTrace,
  captureTrace,
  inChildSpan,
  inSpan,
  type OpenSpan,
  openSpan,
  outsideTrace,
  traceFields,
  withTraceHeaders,
} from "./trace.ts";
export { rpcAttributes, rpcSpanName, traced, tracedInside } from "./transport.ts";

/** A span that another process made and this one exports. */
export interface ForeignSpan {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** Seconds since the Unix epoch, nanoseconds. */
  readonly startedAt: HrTime;
  readonly endedAt: HrTime;
  /** Empty when all went well. */
  readonly error: string;
  readonly attributes: Attributes;
}
