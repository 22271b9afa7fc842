import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import pg from "pg";
import { Refusal } from "../errors/index.ts";
import type { Logger } from "../log/index.ts";
import { METRICS, observe } from "../telemetry/index.ts";
import { dump, load } from "./archive.ts";
import { mapError } from "./errors.ts";
import type { Store, Tx } from "./index.ts";
import { migrateService, unprotectedTables } from "./migrate.ts";
import { notifications } from "./notifications.ts";
import type { Query } from "./roles.ts";
import { databaseOf, type Driver } from "./transaction.ts";

const OLDEST_VERSION = 150_000;

/** Milliseconds. A request lives 60 s at most, so nothing of it may hold locks longer. */
const LIMITS = {
  connectionTimeoutMillis: 10_000,
  statement_timeout: 15_000,
  lock_timeout: 10_000,
  idle_in_transaction_session_timeout: 30_000,
};

/** Milliseconds a start waits for another one that migrates. */
const MIGRATION_LOCK_TIMEOUT = 120_000;

/** Key of the advisory lock that keeps migrations apart: "cvlanmig" in ASCII. */
const MIGRATION_LOCK = BigInt(`0x${Buffer.from("cvlanmig").toString("hex")}`).toString();

/**
 * Opens PostgreSQL through one pool a process.
 * @param url `postgres://…`; it may hold a password and appears in no error.
 * @throws Refusal `unavailable` when the server does not answer or is too old.
 */
export async function openPostgres(url: string, poolSize: number, log: Logger): Promise<Store> {
  const connection = { connectionString: url, application_name: "cloudvlan", keepAlive: true };
  const pool = new pg.Pool({ ...connection, ...LIMITS, max: poolSize });
  // Without a listener a connection that dies while idle, or between two queries, would end the process.
  const lost = (error: Error): void => log.warn({ reason: error.message }, "lost a connection to the database");
  pool.on("error", lost);
  pool.on("connect", (client) => client.on("error", lost));
  await check(pool, log).catch(async (error: unknown) => {
    await pool.end();
    throw mapError(error, "postgres");
  });

  const gauge = observe(METRICS.dbConnections, () => [
    { value: pool.totalCount - pool.idleCount, labels: { state: "used" } },
    { value: pool.idleCount, labels: { state: "idle" } },
    { value: pool.waitingCount, labels: { state: "waiting" } },
  ]);
  const heard = notifications(connection, log);
  const driver: Driver = { kind: "postgres", transaction: (work) => transaction(pool, work), listen: heard.listen };
  return {
    kind: "postgres",
    migrate: async (service, folder) => {
      const client = new pg.Client({ ...connection, connectionTimeoutMillis: LIMITS.connectionTimeoutMillis });
      client.on("error", lost);
      try {
        await client.connect();
        await client.query(`set lock_timeout = ${MIGRATION_LOCK_TIMEOUT}`);
        await client.query("select pg_advisory_lock($1)", [MIGRATION_LOCK]);
        const db = drizzle(client);
        await migrateService(queryOf(client), (migrations) => migrate(db, migrations), service, folder);
      } catch (error) {
        throw mapError(error, "postgres");
      } finally {
        await client.end();
      }
    },
    database: (service) => databaseOf(driver, service),
    dump: (scope, sink) => dump(driver, scope, sink),
    load: (scope, rows) => load(driver, scope, rows),
    unprotectedTables: (service) => unprotectedTables(queryOf(pool), service),
    [Symbol.asyncDispose]: async () => {
      gauge[Symbol.dispose]();
      await heard.close();
      await pool.end();
    },
  };
}

function queryOf(client: pg.Pool | pg.Client): Query {
  return async (statement, parameters = []) =>
    (await client.query<Record<string, unknown>>(statement, parameters)).rows;
}

/** Takes the connection itself: drizzle's own pool handling never returns one whose BEGIN failed. */
async function transaction<T>(pool: pg.Pool, work: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    return await drizzle(client).transaction((tx) => work(tx as unknown as Tx));
  } finally {
    client.release();
  }
}

async function check(pool: pg.Pool, log: Logger): Promise<void> {
  const { rows } = await pool.query<{ version: number; name: string; superuser: boolean }>(
    `select current_setting('server_version_num')::int as version, rolname as name, rolsuper as superuser
     from pg_roles where rolname = current_user`,
  );
  const [server] = rows;
  if (!server || server.version < OLDEST_VERSION) {
    throw new Refusal("unavailable", "DATABASE_TOO_OLD", "the server is older than PostgreSQL 15", {
      remedy: "upgrade the server to PostgreSQL 15 or newer",
    });
  }
  if (server.superuser) {
    log.warn(
      { role: server.name },
      "the database role is a superuser; a plain role with CREATEROLE and CREATE on the database is enough",
    );
  }
}
