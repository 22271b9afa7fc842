import { Code, ConnectError } from "@connectrpc/connect";
import { reasonOf } from "../state/problems.ts";

const PASSING: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Canceled,
  Code.Aborted,
  Code.Internal,
  Code.Unknown,
  Code.ResourceExhausted,
]);

/**
 * True when the controller refused the join for good. What is only not believed here, a server or an answer, is no refusal:
 * the token may be spent on the pending key already.
 */
export function isDefinite(error: unknown): boolean {
  return error instanceof ConnectError && !PASSING.has(error.code) && reasonOf(error) !== "SERVER_NOT_TRUSTED";
}
