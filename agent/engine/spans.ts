import type { Span } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { ForeignSpan } from "@cloudvlan/kit/telemetry";

const MAX_NAME = 64;
const MAX_VALUE = 256;
const MAX_ATTRIBUTES = 16;

/** The engine's span as it is exported; undefined when it is not one. */
export function foreignSpan(span: Span): ForeignSpan | undefined {
  const { traceId, spanId, parentSpanId, name, startedAt, endedAt, error, attributes } = span;
  const whole = traceId.length === 16 && spanId.length === 8 && parentSpanId.length === 8;
  if (!whole || !startedAt || !endedAt || name === "" || name.length > MAX_NAME) return undefined;
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  return {
    traceId: hex(traceId),
    spanId: hex(spanId),
    parentSpanId: hex(parentSpanId),
    name,
    startedAt: [Number(startedAt.seconds), startedAt.nanos],
    endedAt: [Number(endedAt.seconds), endedAt.nanos],
    error: error.slice(0, MAX_VALUE),
    attributes: Object.fromEntries(
      Object.entries(attributes)
        .slice(0, MAX_ATTRIBUTES)
        .map(([key, value]) => [key.slice(0, MAX_NAME), value.slice(0, MAX_VALUE)]),
    ),
  };
}
