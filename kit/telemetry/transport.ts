import type { DescMethod } from "@bufbuild/protobuf";
import { context, SpanKind, trace } from "@opentelemetry/api";
import type { Transport } from "@connectrpc/connect";
import { withHooks } from "../interceptors/iterables.ts";
import { inSpan, openSpan, type SpanOptions, withTraceHeaders } from "./trace.ts";

/** Name of the span of a call on both sides: `package.Service/Method`. */
export function rpcSpanName(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

export function rpcAttributes(method: DescMethod): { "rpc.service": string; "rpc.method": string } {
  return { "rpc.service": method.parent.typeName, "rpc.method": method.name };
}

/**
 * A transport whose calls are spans and carry them in `traceparent`. The span of a stream ends with its first message:
 * one that lives for days would say nothing until its end.
 */
export function traced(transport: Transport): Transport {
  const optionsOf = (method: DescMethod): SpanOptions => ({
    kind: SpanKind.CLIENT,
    attributes: rpcAttributes(method),
  });
  return {
    unary: (method, signal, timeoutMs, header, input, contextValues) =>
      inSpan(rpcSpanName(method), optionsOf(method), () =>
        transport.unary(method, signal, timeoutMs, withTraceHeaders(header), input, contextValues),
      ),
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      const span = openSpan(rpcSpanName(method), optionsOf(method));
      try {
        const response = await context.with(span.context, () =>
          transport.stream(method, signal, timeoutMs, withTraceHeaders(header), input, contextValues),
        );
        const around = async <T>(step: () => Promise<T>): Promise<T> => {
          const result = await step();
          span.end();
          return result;
        };
        const convert = (error: unknown): unknown => {
          span.end(error);
          return error;
        };
        return { ...response, message: withHooks(response.message, { around, convert }) };
      } catch (error) {
        span.end(error);
        throw error;
      }
    },
  };
}

/** Like `traced` for calls that belong to a trace; the others go as they are. */
export function tracedInside(transport: Transport): Transport {
  const inside = traced(transport);
  const way = (): Transport => (trace.getActiveSpan() === undefined ? transport : inside);
  return { unary: (...call) => way().unary(...call), stream: (...call) => way().stream(...call) };
}
