import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { failureOf } from "./failure.ts";

const SCOPE = "cloudvlan";

export interface SpanOptions {
  readonly kind?: SpanKind;
  /** From bounded sets, or ids; never a secret, an address of a person, or the value of a query. */
  readonly attributes?: Attributes;
  /** What it belongs to; what is active when absent. */
  readonly parent?: Context;
}

/** A span that its maker ends. */
export interface OpenSpan {
  /** What belongs to it runs in here. */
  readonly context: Context;
  /** Ends it; only the first call counts. */
  end(error?: unknown): void;
}

export function openSpan(name: string, { kind = SpanKind.INTERNAL, attributes = {}, parent }: SpanOptions): OpenSpan {
  const outer = parent ?? context.active();
  const span = trace.getTracer(SCOPE).startSpan(name, { kind, attributes }, outer);
  let ended = false;
  return {
    context: trace.setSpan(outer, span),
    end(error) {
      if (ended) return;
      ended = true;
      if (error !== undefined) fail(span, error);
      span.end();
    },
  };
}

function fail(span: Span, error: unknown): void {
  const { reason } = failureOf(error);
  span.setAttribute("error.type", reason);
  span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
}

/** Runs work as a span; it fails with the work. */
export async function inSpan<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> {
  const span = openSpan(name, options);
  try {
    const result = await context.with(span.context, work);
    span.end();
    return result;
  } catch (error) {
    span.end(error);
    throw error;
  }
}

/** Like `inSpan`, where there is a trace already; without one it only runs the work. */
export async function inChildSpan<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> {
  return trace.getActiveSpan() === undefined ? work() : inSpan(name, options, work);
}

/** Remembers the trace that is active: what the result is given runs in it. */
export function captureTrace(): <T>(work: () => T) => T {
  const captured = context.active();
  return (work) => context.with(captured, work);
}

/** Runs work that belongs to no trace that happens to be active. */
export function outsideTrace<T>(work: () => T): T {
  return context.with(ROOT_CONTEXT, work);
}

/** The trace that is active, for a log line. */
export function traceFields(): { readonly trace_id: string; readonly span_id: string } | undefined {
  const active = trace.getActiveSpan()?.spanContext();
  if (!active || !isSpanContextValid(active)) return undefined;
  return { trace_id: active.traceId, span_id: active.spanId };
}

/** Headers with the active trace in `traceparent` (W3C Trace Context). */
export function withTraceHeaders(given: ConstructorParameters<typeof Headers>[0]): Headers {
  const headers = new Headers(given);
  propagation.inject(context.active(), headers, { set: (carrier, key, value) => carrier.set(key, value) });
  return headers;
}

/** What a call belongs to: the span of a caller in this process, else what its headers say. */
export function callerTrace(headers: Headers): Context {
  const active = context.active();
  if (trace.getSpan(active)) return active;
  return propagation.extract(active, headers, {
    keys: (carrier) => [...carrier.keys()],
    get: (carrier, key) => carrier.get(key) ?? undefined,
  });
}
