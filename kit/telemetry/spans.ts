import {
  context,
  type MeterProvider,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { setGlobalErrorHandler, W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, type ReadableSpan, TracerProvider } from "@opentelemetry/sdk-trace";
import type { Clock } from "../clock/index.ts";
import type { Logger } from "../log/index.ts";
import type { ForeignSpan } from "./index.ts";
import { sampler } from "./sampler.ts";

/** Spans that wait for the collector; what comes when there is no room is dropped and counted. */
const MAX_QUEUE = 2_048;
const MAX_BATCH = 256;
/** Milliseconds. */
const BATCH_DELAY_MS = 1_000;
const EXPORT_TIMEOUT_MS = 5_000;
/** Requests to the collector at once. */
const MAX_EXPORTS = 2;
/** Characters of one attribute. */
const MAX_ATTRIBUTE = 256;
const MAX_ATTRIBUTES = 32;
/** Milliseconds between two log lines about a collector that takes nothing. */
const COMPLAINT_MS = 60_000;

export interface SpanOutlet {
  take(serviceName: string, span: ForeignSpan): void;
  /** Sends what waits, for at most so many milliseconds, and stops. */
  close(milliseconds: number): Promise<void>;
}

export interface SpanOutletOptions {
  /** Base URL of the collector. */
  readonly otlp: string;
  readonly ratio: number;
  readonly serviceName: string;
  readonly version: string;
  /** Counts what is dropped. */
  readonly meters: MeterProvider | undefined;
  readonly clock: Clock;
  /** Takes what an operator should know; seldom. */
  readonly log: Pick<Logger, "warn">;
}

/** Path of traces below a base URL (OpenTelemetry protocol exporter, endpoint URLs for OTLP/HTTP). */
function tracesUrl(base: string): string {
  const url = new URL(base);
  url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/traces`;
  return url.href;
}

function resourceOf(serviceName: string, version: string): Resource {
  return resourceFromAttributes({
    "service.namespace": "cloudvlan",
    "service.name": serviceName,
    "service.version": version,
  });
}

/** Makes spans real for this process, once. A collector that is down, slow or talkative costs its bounded queue and no more. */
export function openSpans(options: SpanOutletOptions): SpanOutlet {
  const { otlp, ratio, serviceName, version, meters, clock, log } = options;
  let complainedAt = Number.NEGATIVE_INFINITY;
  setGlobalErrorHandler((error) => {
    const now = clock.monotonicMs();
    if (now - complainedAt < COMPLAINT_MS) return;
    complainedAt = now;
    log.warn(
      { why: error instanceof Error ? error.message : JSON.stringify(error) },
      "the collector does not take spans",
    );
  });
  const observed = meters && { selfObsMeterProvider: meters };
  const exporter = new OTLPTraceExporter({
    url: tracesUrl(otlp),
    timeoutMillis: EXPORT_TIMEOUT_MS,
    concurrencyLimit: MAX_EXPORTS,
  });
  const processor = new BatchSpanProcessor({
    exporter,
    maxQueueSize: MAX_QUEUE,
    maxExportBatchSize: MAX_BATCH,
    scheduledDelayMillis: BATCH_DELAY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
    ...observed,
  });
  const provider = new TracerProvider({
    resource: resourceOf(serviceName, version),
    sampler: sampler(ratio, clock),
    spanProcessors: [processor],
    spanLimits: {
      attributeCountLimit: MAX_ATTRIBUTES,
      attributeValueLengthLimit: MAX_ATTRIBUTE,
      eventCountLimit: 0,
      linkCountLimit: 0,
    },
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  const resources = new Map<string, Resource>();

  return {
    take(name, span) {
      let resource = resources.get(name);
      if (!resource) resources.set(name, (resource = resourceOf(name, version)));
      processor.onEnd(readable(span, resource));
    },
    async close(milliseconds) {
      const over = AbortSignal.timeout(milliseconds);
      const late = new Promise<void>((resolve) => over.addEventListener("abort", () => resolve(), { once: true }));
      // What does not get through by now was counted and told of by the error handler.
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
    },
  };
}

/** A span that another process made, as the SDK wants it. */
function readable(span: ForeignSpan, resource: Resource): ReadableSpan {
  const { traceId, spanId, parentSpanId, name, startedAt, endedAt, error, attributes } = span;
  const spanContext = { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
  const parentSpanContext = { traceId, spanId: parentSpanId, traceFlags: TraceFlags.SAMPLED, isRemote: true };
  const milliseconds = (endedAt[0] - startedAt[0]) * 1_000_000_000 + (endedAt[1] - startedAt[1]);
  const duration: [number, number] = [Math.floor(milliseconds / 1_000_000_000), milliseconds % 1_000_000_000];
  return {
    name,
    kind: SpanKind.SERVER,
    spanContext: () => spanContext,
    parentSpanContext,
    startTime: startedAt,
    endTime: endedAt,
    status: error === "" ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: error },
    attributes,
    links: [],
    events: [],
    duration,
    ended: true,
    resource,
    instrumentationScope: { name: "cloudvlan" },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}
