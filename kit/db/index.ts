import type { PgTransaction, PgQueryResultHKT } from "drizzle-orm/pg-core";
import type { ArchivedRow, ArchiveScope } from "./archive.ts";
import type { ServiceName } from "../caller/index.ts";
import type { TenantId } from "../ids/index.ts";

export type { ArchivedRow, ArchiveScope } from "./archive.ts";
export { bytes } from "./columns.ts";
export { DatabaseError, isForeignKeyViolation, isUniqueViolation } from "./errors.ts";
export { openStore } from "./open.ts";
export { inTransaction } from "./scope.ts";

// oxlint-disable-next-line typescript/no-explicit-any -- drizzle's schema parameters are not used: tables are passed to queries
export type Tx = PgTransaction<PgQueryResultHKT, any, any>;

export type StoreConfig =
  /** Embedded; one process; survives a killed process, not a power cut. */
  | {
      readonly kind: "pglite";
      readonly path: string;
      /** Folder of an empty database that a first open copies. */
      readonly template?: string | undefined;
    }
  /** PostgreSQL 15 or newer; the role of the URL migrates and is a member of every service role. */
  | { readonly kind: "postgres"; readonly url: string; readonly poolSize: number };

/** One open store of a process. */
export interface Store extends AsyncDisposable {
  readonly kind: StoreConfig["kind"];
  /**
   * Brings a service's schema up to date, under a lock that keeps parallel starts apart: kit's own tables, then the
   * service's migrations (drizzle's folder format, hand-written). The schema is the search path; a table with a
   * `tenant_id` is put under row security by `SELECT tenant_owned('<table>')` in the migration that makes it.
   * @throws Error when a table with a `tenant_id` is not under row security afterwards.
   */
  migrate(service: ServiceName, migrationsFolder: string): Promise<void>;
  database(service: ServiceName): Database;
  /**
   * Gives every row of the services to `sink`, as one moment of the database, whoever writes meanwhile.
   * @throws Error when a service was never migrated here.
   */
  dump(scope: ArchiveScope, sink: (row: ArchivedRow) => Promise<void>): Promise<void>;
  /**
   * Stores rows as `dump` gave them, all or none, in schemas that are migrated and empty.
   * @returns how many.
   * @throws Refusal `conflict` when there is an installation in the database.
   */
  load(scope: ArchiveScope, rows: AsyncIterable<ArchivedRow>): Promise<number>;
  /** Tables of the service that have a `tenant_id` and are not under row security; none, unless somebody changed the schema. */
  unprotectedTables(service: ServiceName): Promise<string[]>;
}

/** The database as one service may use it: its own schema, by its own role, under row security. */
export interface Database {
  readonly kind: StoreConfig["kind"];
  /**
   * Runs `work` in a transaction that sees the rows of one tenant and no others, whatever its queries say.
   * A call to another service inside it throws: no RPC while locks are held. `work` may run more than once, when the
   * database ended it for the sake of another transaction; it must have no effect outside the transaction.
   * @throws Refusal `unavailable` when the database does not answer, is too slow or has no space left, and
   * `DatabaseError` for anything else the database refuses.
   */
  tenant<T>(tenantId: TenantId, work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Runs `work` in a transaction that sees only rows that belong to no tenant. */
  platform<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Calls `wake` when a committed transaction, on any worker, notified the channel (`pg_notify`). May wake without cause:
   * with `undefined` for the payload after the connection was lost and notifications may have been missed.
   * @param channel lower-case letters, digits and `_`, at most 63.
   */
  listen(channel: string, wake: (payload: string | undefined) => void): Promise<AsyncDisposable>;
}
