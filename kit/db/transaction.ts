import { AsyncLocalStorage } from "node:async_hooks";
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { SpanKind } from "@opentelemetry/api";
import { sql } from "drizzle-orm";
import type { ServiceName } from "../caller/index.ts";
import { systemClock } from "../clock/index.ts";
import { isId, type TenantId } from "../ids/index.ts";
import { inChildSpan, METRICS, record } from "../telemetry/index.ts";
import { isRetryable, mapError } from "./errors.ts";
import type { Database, Store, Tx } from "./index.ts";
import { roleOf } from "./roles.ts";
import { inTransaction, transactionScope } from "./scope.ts";

/** What a store must offer for transactions and notifications to be built on it. */
export interface Driver {
  readonly kind: Store["kind"];
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  listen(channel: string, wake: (payload: string | undefined) => void): Promise<AsyncDisposable>;
}

/** How often a transaction that lost a deadlock is run before its error is the caller's. */
const ATTEMPTS = 5;

/** Value of `app.tenant` in platform transactions; no tenant id looks like it. */
export const PLATFORM = "platform";

/** The database as `service` sees it. */
export function databaseOf(driver: Driver, service: ServiceName): Database {
  const role = roleOf(service);
  // PGlite notifies in the middle of somebody's transaction; whoever is woken is in none, and in nobody's request.
  const outside = AsyncLocalStorage.snapshot();

  async function once<T>(tenant: string, work: (tx: Tx) => Promise<T>): Promise<T> {
    let failure: { readonly error: unknown } | undefined;
    try {
      return await driver.transaction(async (tx) => {
        await tx.execute(
          sql`select set_config('role', ${role}, true), set_config('search_path', ${service}, true), set_config('app.tenant', ${tenant}, true)`,
        );
        try {
          return await work(tx);
        } catch (error) {
          failure = { error };
          throw error;
        }
      });
    } catch (error) {
      // A rollback on a dead connection throws its own error, which says less than the first one.
      throw failure ? failure.error : error;
    }
  }

  async function run<T>(tenant: string, work: (tx: Tx) => Promise<T>): Promise<T> {
    const began = systemClock.monotonicMs();
    const done = (outcome: "ok" | "error"): void =>
      record(METRICS.dbDuration, (systemClock.monotonicMs() - began) / 1000, { service, outcome });
    const attributes = { "db.system.name": "postgresql", "db.namespace": service };
    try {
      const result = await inChildSpan("db.transaction", { kind: SpanKind.CLIENT, attributes }, () =>
        repeated(tenant, work),
      );
      done("ok");
      return result;
    } catch (error) {
      done("error");
      throw error;
    }
  }

  async function repeated<T>(tenant: string, work: (tx: Tx) => Promise<T>): Promise<T> {
    return transactionScope(async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await once(tenant, work);
        } catch (error) {
          if (attempt === ATTEMPTS || !isRetryable(error)) throw mapError(error, driver.kind);
          await sleep(randomInt(1, 10 * 2 ** attempt));
        }
      }
    });
  }

  return {
    kind: driver.kind,
    tenant: async (tenantId: TenantId, work) => {
      if (!isId("tenant", tenantId)) throw new Error("a tenant transaction needs a tenant id");
      return run(tenantId, work);
    },
    platform: (work) => run(PLATFORM, work),
    listen: async (channel, wake) => {
      if (inTransaction()) throw new Error("listen inside a transaction may wait for that transaction's end");
      return driver.listen(channel, (payload) => outside(wake, payload));
    },
  };
}
