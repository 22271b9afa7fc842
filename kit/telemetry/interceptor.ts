import { context, SpanKind } from "@opentelemetry/api";
import type { Interceptor } from "@connectrpc/connect";
import type { Clock } from "../clock/index.ts";
import { withHooks } from "../interceptors/iterables.ts";
import { METRICS } from "./catalog.ts";
import { failureOf } from "./failure.ts";
import { count, record } from "./metrics.ts";
import { callerTrace, openSpan, outsideTrace } from "./trace.ts";
import { rpcAttributes, rpcSpanName } from "./transport.ts";

/**
 * Makes a span and figures of each call. The span of a stream ends with its first message; what breaks it later is
 * counted as an error all the same.
 */
export function otelInterceptor(clock: Clock): Interceptor {
  return (next) => async (request) => {
    const { method } = request;
    const labels = { rpc_service: method.parent.typeName, rpc_method: method.name };
    const span = openSpan(rpcSpanName(method), {
      kind: SpanKind.SERVER,
      attributes: rpcAttributes(method),
      parent: callerTrace(request.header),
    });
    const began = clock.monotonicMs();
    let answered = false;
    const answer = (code: string, error?: unknown): void => {
      if (answered) return;
      answered = true;
      span.end(error);
      record(METRICS.rpcDuration, (clock.monotonicMs() - began) / 1000, { ...labels, rpc_code: code });
    };
    const fail = (error: unknown): unknown => {
      const { code, reason } = failureOf(error);
      count(METRICS.rpcErrors, { ...labels, reason });
      answer(code, error);
      return error;
    };
    try {
      const response = await context.with(span.context, () => next(request));
      if (!response.stream) {
        answer("ok");
        return response;
      }
      const around = async <T>(step: () => Promise<T>): Promise<T> => {
        if (answered) return outsideTrace(step);
        const result = await context.with(span.context, step);
        answer("ok");
        return result;
      };
      return { ...response, message: withHooks(response.message, { around, convert: fail }) };
    } catch (error) {
      throw fail(error);
    }
  };
}
