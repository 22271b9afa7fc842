import type { PgTransaction, PgQueryResultHKT } from "drizzle-orm/pg-core";
import type { ServiceName } from "../caller/index.ts";
import type { TenantId } from "../ids/index.ts";

export { openStore } from "./open.ts";
export { inTransaction } from "./scope.ts";

// oxlint-disable-next-line typescript/no-explicit-any -- drizzle's schema parameters are not used: tables are passed to queries
export type Tx = PgTransaction<PgQueryResultHKT, any, any>;

export type StoreConfig =
  /** Embedded; one process; survives a killed process, not a power cut. */
  | { readonly kind: "pglite"; readonly path: string }
  /** PostgreSQL 15 or newer; the role of the URL migrates and is a member of every service role. */
  | { readonly kind: "postgres"; readonly url: string; readonly poolSize: number };

/** One open store of a process. */
export interface Store extends AsyncDisposable {
  readonly kind: StoreConfig["kind"];
  /** Brings a service's schema up to date, under a lock that keeps parallel starts apart. */
  migrate(service: ServiceName, migrationsFolder: string): Promise<void>;
  database(service: ServiceName): Database;
}

/** The database as one service may use it: its own schema, by its own role, under row security. */
export interface Database {
  readonly kind: StoreConfig["kind"];
  /**
   * Runs `work` in a transaction that sees the rows of one tenant and no others, whatever its queries say.
   * A call to another service inside it throws: no RPC while locks are held.
   */
  tenant<T>(tenantId: TenantId, work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Runs `work` in a transaction that sees only rows that belong to no tenant. */
  platform<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Calls `wake` when another transaction of this service, on any worker, notified the channel. May wake without cause. */
  listen(channel: string, wake: () => void): Promise<AsyncDisposable>;
}
