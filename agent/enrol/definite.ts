import { Code, ConnectError } from "@connectrpc/connect";
import { Refusal } from "@cloudvlan/kit/errors";

const PASSING: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Canceled,
  Code.Aborted,
  Code.Internal,
  Code.Unknown,
  Code.ResourceExhausted,
]);

/** True when repeating the same join cannot help. */
export function isDefinite(error: unknown): boolean {
  if (error instanceof Refusal) return error.kind !== "unavailable" && error.kind !== "exhausted";
  return error instanceof ConnectError && !PASSING.has(error.code);
}
