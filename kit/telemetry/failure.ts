import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Refusal } from "../errors/index.ts";

/** What a stable reason looks like: anything else that calls itself one is not used as a label. */
const REASON = /^[A-Z][A-Z0-9_]{0,63}$/;

/** How a call ended, in words from bounded sets. Never a message: those may name what is not everybody's. */
export interface Failure {
  /** Connect's name of the code, for example `permission_denied`. */
  readonly code: string;
  /** Stable reason, or the code in its place. */
  readonly reason: string;
}

export function failureOf(error: unknown): Failure {
  const told = error instanceof Refusal ? error.toConnectError() : error;
  if (!(told instanceof ConnectError)) return { code: codeToString(Code.Internal), reason: "INTERNAL" };
  const reason = told.findDetails(ErrorDetailSchema)[0]?.reason ?? "";
  const code = codeToString(told.code);
  return { code, reason: REASON.test(reason) ? reason : code.toUpperCase() };
}
