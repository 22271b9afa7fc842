import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";

/** Why a request is refused, in words a handler knows; the errors interceptor turns it into a gRPC code. */
export type RefusalKind =
  | "invalid" // the request itself is wrong
  | "not_found" // no such object, or not the caller's: indistinguishable
  | "conflict" // the state of the object forbids it
  | "exists"
  | "exhausted" // a pool, quota or limit
  | "unauthenticated"
  | "denied"
  | "unavailable"; // try again later

const CODES: Record<RefusalKind, Code> = {
  invalid: Code.InvalidArgument,
  not_found: Code.NotFound,
  conflict: Code.FailedPrecondition,
  exists: Code.AlreadyExists,
  exhausted: Code.ResourceExhausted,
  unauthenticated: Code.Unauthenticated,
  denied: Code.PermissionDenied,
  unavailable: Code.Unavailable,
};

export interface RefusalDetail {
  /** Request field at fault, proto path. */
  readonly field?: string;
  /** Typed id of the object at fault. */
  readonly objectId?: string;
  /** What to do next. */
  readonly remedy?: string;
  /** What the audit row says instead of `reason`, when it must be finer than what the caller is told. */
  readonly auditReason?: string;
}

/** A refusal that the caller may read. Domain code and handlers throw it; nothing else reaches a caller in words. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly kind: RefusalKind;
  /** Stable, UPPER_SNAKE. */
  readonly reason: string;
  readonly detail: RefusalDetail;

  constructor(kind: RefusalKind, reason: string, message: string, detail: RefusalDetail = {}) {
    super(message);
    this.kind = kind;
    this.reason = reason;
    this.detail = detail;
  }

  toConnectError(): ConnectError {
    const { field = "", objectId = "", remedy = "" } = this.detail;
    return new ConnectError(this.message, CODES[this.kind], undefined, [
      { desc: ErrorDetailSchema, value: { reason: this.reason, field, objectId, remedy } },
    ]);
  }
}

const KINDS = new Map<Code, RefusalKind>(
  (Object.entries(CODES) as [RefusalKind, Code][]).map(([kind, code]) => [code, kind]),
);

/** The refusal that another process answered with; undefined when the error is not one. */
export function refusalFrom(error: ConnectError): Refusal | undefined {
  const kind = KINDS.get(error.code);
  const detail = error.findDetails(ErrorDetailSchema)[0];
  if (kind === undefined || detail === undefined || detail.reason === "") return undefined;
  return new Refusal(kind, detail.reason, error.rawMessage, {
    field: detail.field,
    objectId: detail.objectId,
    remedy: detail.remedy,
  });
}
