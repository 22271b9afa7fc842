import { metrics, type MeterProvider as AnyMeterProvider } from "@opentelemetry/api";
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import type { Clock } from "../clock/index.ts";
import type { Logger } from "../log/index.ts";
import { METRICS } from "./catalog.ts";
import type { ScrapeAddress } from "./config.ts";
import { observe } from "./metrics.ts";
import { serveScrapes } from "./scrape.ts";

/** Reads when it is asked to. */
class PullReader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

export interface Meters extends AsyncDisposable {
  readonly provider: AnyMeterProvider;
}

/**
 * Makes metrics real for this process, once, and shows them.
 * @throws Refusal `unavailable` when the address cannot be had.
 */
export async function openMeters(at: ScrapeAddress, clock: Clock, log: Pick<Logger, "warn">): Promise<Meters> {
  const reader = new PullReader();
  const provider = new MeterProvider({ readers: [reader] });
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const server = await serveScrapes(at, async () => {
    const { resourceMetrics, errors } = await reader.collect();
    if (errors.length > 0) log.warn({ errors: errors.map(String) }, "some metrics could not be read");
    return `${serializer.serialize(resourceMetrics)}\n`;
  });
  metrics.setGlobalMeterProvider(provider);
  const startedAt = (clock.nowMs() - clock.monotonicMs()) / 1000;
  observe(METRICS.residentMemory, () => [{ value: process.memoryUsage.rss(), labels: {} }]);
  observe(METRICS.startTime, () => [{ value: startedAt, labels: {} }]);
  return {
    provider,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await provider.shutdown();
    },
  };
}
