import type { Caller } from "../caller/index.ts";
import type { Tx } from "../db/index.ts";

export { auditLog } from "./log.ts";
export { auditHandlers } from "./read.ts";

export interface AuditEntry {
  /** Full RPC name. */
  readonly action: string;
  /** Typed id of what it was done to; empty when nothing came of it. */
  readonly objectId: string;
  /** `ok`, or the reason of the refusal, finer than what the caller was told. */
  readonly outcome: string;
}

/**
 * Append-only rows of one service, numbered without gaps per tenant. A row holds the tenant's counter until the commit, so
 * it is recorded last in its transaction.
 */
export interface AuditLog {
  /** Inside the transaction of the write: there is no write without its row and no row without its write. */
  record(tx: Tx, caller: Caller, entry: AuditEntry): Promise<void>;
}
