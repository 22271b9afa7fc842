import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";

/** Milliseconds a unary call gets when its caller sets no deadline. */
export const DEFAULT_DEADLINE_MS = 15_000;
/** Milliseconds a unary call gets at most. */
export const MAX_DEADLINE_MS = 60_000;

export function deadlineError(): ConnectError {
  return new ConnectError("the deadline passed before an answer was ready", Code.DeadlineExceeded, undefined, [
    { desc: ErrorDetailSchema, value: { reason: "DEADLINE_EXCEEDED", remedy: "try again, with more time" } },
  ]);
}

function callerSetDeadline(header: Headers): boolean {
  return header.has("grpc-timeout") || header.has("connect-timeout-ms");
}

/**
 * Runs unary work under a deadline and the caller's signal; it is left behind when either ends first, also when it
 * does not look at its signal.
 */
export async function withDeadline<T>(
  outer: AbortSignal,
  milliseconds: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(deadlineError()), milliseconds);
  const signal = AbortSignal.any([outer, controller.signal]);
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason instanceof Error ? signal.reason : deadlineError());
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
  });
  const running = work(signal);
  running.catch(() => {});
  try {
    return await Promise.race([running, aborted]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

/** Bounds unary calls in time. Streams live as long as their caller wants; their first message is bounded by the listener. */
export function deadlineInterceptor(): Interceptor {
  return (next) => async (request) => {
    if (request.stream) return next(request);
    // A deadline of the caller's that is shorter has already been put into the request's signal by the protocol handler.
    const milliseconds = callerSetDeadline(request.header) ? MAX_DEADLINE_MS : DEFAULT_DEADLINE_MS;
    return withDeadline(request.signal, milliseconds, (signal) => next({ ...request, signal }));
  };
}
