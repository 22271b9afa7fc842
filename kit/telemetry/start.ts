import { context, metrics, propagation, trace } from "@opentelemetry/api";
import type { Clock } from "../clock/index.ts";
import type { Logger } from "../log/index.ts";
import type { TelemetryConfig } from "./config.ts";
import type { ForeignSpan } from "./index.ts";

/** Milliseconds that the end of a process waits for a collector. */
const FLUSH_MS = 1_500;

export interface TelemetryDeps {
  /** `service.name` of this process's spans. */
  readonly serviceName: string;
  readonly version: string;
  readonly clock: Clock;
  /** Takes what an operator should know; seldom. */
  readonly log: Pick<Logger, "warn">;
}

/** What a process tells of itself; ends with it. */
export interface Telemetry extends AsyncDisposable {
  /** Hands on the span of a process that does not export its own. Dropped where no collector is configured. */
  take(serviceName: string, span: ForeignSpan): void;
}

/**
 * Starts what is configured. The SDK is loaded for that alone: without it spans and metrics cost next to nothing.
 * Call it before anything is measured, and once in a process.
 * @throws Refusal `unavailable` when the address for scrapes cannot be had.
 */
export async function startTelemetry(config: TelemetryConfig | undefined, deps: TelemetryDeps): Promise<Telemetry> {
  const { clock, log, serviceName, version } = deps;
  const meters =
    config?.metrics === undefined
      ? undefined
      : await (await import("./meters.ts")).openMeters(config.metrics, clock, log);
  const spans =
    config?.otlp === undefined
      ? undefined
      : (await import("./spans.ts")).openSpans({
          otlp: config.otlp,
          ratio: config.sample_ratio,
          serviceName,
          version,
          meters: meters?.provider,
          clock,
          log,
        });
  return {
    take: (name, span) => spans?.take(name, span),
    async [Symbol.asyncDispose]() {
      await spans?.close(FLUSH_MS);
      await meters?.[Symbol.asyncDispose]();
      for (const api of [trace, metrics, context, propagation]) api.disable();
    },
  };
}
