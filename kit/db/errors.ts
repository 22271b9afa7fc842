import { Refusal } from "../errors/index.ts";
import type { StoreConfig } from "./index.ts";

/** SQLSTATE codes that stores act on (PostgreSQL documentation, appendix A). */
const UNIQUE_VIOLATION = "23505";
const FOREIGN_KEY_VIOLATION = "23503";
const SERIALIZATION_FAILURE = "40001";
const DEADLOCK_DETECTED = "40P01";
const DISK_FULL = "53100";
const READ_ONLY = "25006";

/** An error of the database without the values of the statement, which may be secret. */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  /** SQLSTATE; empty when the driver gave none. */
  readonly code: string;
  /** Constraint that was violated; empty when none was. */
  readonly constraint: string;

  constructor(message: string, code: string, constraint: string) {
    super(message);
    this.code = code;
    this.constraint = constraint;
  }
}

interface DriverError {
  readonly code: string;
  readonly constraint: string;
  readonly message: string;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The innermost error that carries a code: drivers and drizzle wrap it. */
function driverError(error: unknown): DriverError | undefined {
  let found: DriverError | undefined;
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    const code = "code" in at ? text(at.code) : "";
    if (code !== "") found = { code, constraint: "constraint" in at ? text(at.constraint) : "", message: at.message };
  }
  return found;
}

/** True when `error` says that a row with the same key exists; of that constraint or index, when one is named. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  const found = driverError(error);
  return found?.code === UNIQUE_VIOLATION && (constraint === undefined || found.constraint === constraint);
}

/** True when `error` says that a row refers to one that is not there, or that a row is still referred to. */
export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  const found = driverError(error);
  return found?.code === FOREIGN_KEY_VIOLATION && (constraint === undefined || found.constraint === constraint);
}

/** True when the transaction was rolled back for the sake of another one and may be run again. */
export function isRetryable(error: unknown): boolean {
  const code = driverError(error)?.code;
  return code === SERIALIZATION_FAILURE || code === DEADLOCK_DETECTED;
}

const CONNECTION_LOST = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now
  "57P05", // idle_session_timeout
  "25P03", // idle_in_transaction_session_timeout
  READ_ONLY, // on PostgreSQL: a standby after a failover
  "53300", // too_many_connections
]);

const TOO_SLOW = new Set([
  "57014", // query_canceled, by statement_timeout
  "55P03", // lock_not_available, by lock_timeout
]);

/** What node-postgres says without a code when the connection or the pool gives up. */
const CONNECTION_LOST_MESSAGE =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|timeout expired)/;

function outermostWords(error: Error): string {
  return error.cause instanceof Error ? outermostWords(error.cause) : error.message;
}

export function storageFull(): Refusal {
  return new Refusal("unavailable", "STORAGE_FULL", "the disk of the database is full; nothing was changed", {
    remedy: "free space on the disk of the database, then try again",
  });
}

/** @param kind the embedded store turns read-only before its disk is full. */
function isFullDisk(kind: StoreConfig["kind"], found: DriverError | undefined, words: string): boolean {
  if (kind === "pglite" && found?.code === READ_ONLY) return true;
  return found?.code === DISK_FULL || found?.code === "ENOSPC" || /no space left on device/i.test(words);
}

/**
 * What a failed transaction throws: a refusal of the work as it is, `unavailable` for what passes or an operator must
 * mend, and otherwise a `DatabaseError` without the statement's values.
 */
export function mapError(error: unknown, kind: StoreConfig["kind"]): unknown {
  if (!(error instanceof Error) || error instanceof Refusal || error instanceof DatabaseError) return error;
  const found = driverError(error);
  const words = outermostWords(error);
  if (isFullDisk(kind, found, words)) return storageFull();
  if (
    (found && (CONNECTION_LOST.has(found.code) || found.code.startsWith("08"))) ||
    CONNECTION_LOST_MESSAGE.test(words)
  ) {
    return new Refusal("unavailable", "DATABASE_UNAVAILABLE", "the database does not answer", {
      remedy: "see that the database runs and is reachable, then try again",
    });
  }
  if (found && TOO_SLOW.has(found.code)) {
    return new Refusal("unavailable", "DATABASE_BUSY", "the database took too long; nothing was changed", {
      remedy: "try again",
    });
  }
  if (found && /^[0-9A-Z]{5}$/.test(found.code)) return new DatabaseError(found.message, found.code, found.constraint);
  return error;
}
