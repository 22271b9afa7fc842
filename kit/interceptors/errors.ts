import { randomUUID } from "node:crypto";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { pathOf } from "../access/index.ts";
import { Refusal } from "../errors/index.ts";
import type { Logger } from "../log/index.ts";
import { withHooks } from "./iterables.ts";
import { requestIdKey } from "./peer.ts";
import type { RefusalCounter } from "./refusals.ts";

/** Codes that tell of the call itself, its framing or its time, and not of what a handler did. */
const CALL_CODES: ReadonlySet<Code> = new Set([
  Code.Canceled,
  Code.DeadlineExceeded,
  Code.InvalidArgument,
  Code.ResourceExhausted,
  Code.Unimplemented,
]);

/** What a caller is told of an error: a refusal in its own words, of anything else nothing but the request id. */
export function toCallerError(
  error: unknown,
  call: { readonly rpc: string; readonly requestId: string; readonly signal: AbortSignal },
  log: Logger,
): ConnectError {
  if (error instanceof Refusal) return error.toConnectError();
  if (error instanceof ConnectError && CALL_CODES.has(error.code)) return error;
  if (call.signal.aborted) {
    const reason: unknown = call.signal.reason;
    if (reason instanceof ConnectError) return reason;
    return new ConnectError("the caller went away", Code.Canceled);
  }
  log.error({ rpc: call.rpc, request_id: call.requestId, error }, "request failed");
  return new ConnectError("internal error", Code.Internal, undefined, [
    {
      desc: ErrorDetailSchema,
      value: { reason: "INTERNAL", remedy: `report the request id ${call.requestId} to the operator` },
    },
  ]);
}

/** Outermost: names the call and turns what is thrown into what a caller may read. */
export function errorsInterceptor(log: Logger, refusals: RefusalCounter): Interceptor {
  return (next) => async (request) => {
    request.contextValues.set(requestIdKey, randomUUID());
    const convert = (error: unknown): ConnectError => {
      if (error instanceof Refusal && error.kind === "unauthenticated") refusals.count(error);
      const call = {
        rpc: pathOf(request.method),
        requestId: request.contextValues.get(requestIdKey),
        signal: request.signal,
      };
      return toCallerError(error, call, log);
    };
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: withHooks(response.message, { convert }) } : response;
    } catch (error) {
      throw convert(error);
    }
  };
}
