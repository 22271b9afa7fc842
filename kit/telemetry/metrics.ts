import { type Counter, type Histogram, type MeterProvider, metrics, type ObservableResult } from "@opentelemetry/api";
import { DURATION_BUCKETS, type LabelsOf, type MetricDefinition } from "./catalog.ts";

const SCOPE = "cloudvlan";

/** Instruments of the provider that is in force. Those that are made without one do nothing for good. */
const counters = new WeakMap<MeterProvider, Map<string, Counter>>();
const histograms = new WeakMap<MeterProvider, Map<string, Histogram>>();

function kept<I>(all: WeakMap<MeterProvider, Map<string, I>>, name: string, make: () => I): I {
  const provider = metrics.getMeterProvider();
  let made = all.get(provider);
  if (!made) all.set(provider, (made = new Map()));
  let instrument = made.get(name);
  if (!instrument) made.set(name, (instrument = make()));
  return instrument;
}

/** Adds one to a counter. Does nothing where no metrics are configured, as all that is here. */
export function count<M extends MetricDefinition & { kind: "counter" }>(metric: M, labels: LabelsOf<M>): void {
  const { name, help } = metric;
  kept(counters, name, () => metrics.getMeter(SCOPE).createCounter(name, { description: help })).add(1, labels);
}

/** @param seconds what is recorded */
export function record<M extends MetricDefinition & { kind: "histogram" }>(
  metric: M,
  seconds: number,
  labels: LabelsOf<M>,
): void {
  const { name, help } = metric;
  const advice = { explicitBucketBoundaries: [...DURATION_BUCKETS] };
  kept(histograms, name, () => metrics.getMeter(SCOPE).createHistogram(name, { description: help, advice })).record(
    seconds,
    labels,
  );
}

/** One value of a gauge. */
export interface Observation<M extends MetricDefinition> {
  readonly value: number;
  readonly labels: LabelsOf<M>;
}

/**
 * Has each scrape ask for the value of a gauge until it is disposed of.
 * @param read cheap; an empty list when there is nothing to say.
 */
export function observe<M extends MetricDefinition & { kind: "gauge" }>(
  { name, help }: M,
  read: () => readonly Observation<M>[],
): Disposable {
  const gauge = metrics.getMeter(SCOPE).createObservableGauge(name, { description: help });
  const callback = (result: ObservableResult): void => {
    for (const { value, labels } of read()) result.observe(value, labels);
  };
  gauge.addCallback(callback);
  return { [Symbol.dispose]: () => gauge.removeCallback(callback) };
}
