import { chmodSync, existsSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { drizzle } from "drizzle-orm/pglite";
import { migrate } from "drizzle-orm/pglite/migrator";
import { Refusal } from "../errors/index.ts";
import type { Logger } from "../log/index.ts";
import { dump, load } from "./archive.ts";
import { checkChannel } from "./channel.ts";
import type { Store, Tx } from "./index.ts";
import { storageFull } from "./errors.ts";
import { newLine } from "./line.ts";
import { lockFolder } from "./lock.ts";
import { migrateService, unprotectedTables } from "./migrate.ts";
import type { Query } from "./roles.ts";
import { copyTemplate } from "./template.ts";
import { databaseOf, type Driver } from "./transaction.ts";

/** Owner of the schemas, bound by row security; the one session works as it. */
const MIGRATOR = "cloudvlan_migrator";

/**
 * The session's superuser would pass by row security: it is given away before anything else runs. RESET does not bring
 * it back.
 */
const GIVE_AWAY_SUPERUSER = `
  do $$ begin
    create role ${MIGRATOR} nologin nosuperuser nobypassrls createrole;
    execute format('grant create on database %I to ${MIGRATOR}', current_database());
  exception when duplicate_object then null; end $$;
  set session authorization ${MIGRATOR};`;

/**
 * Bytes of free disk below which the store only reads. Its log grows by segments of 16 MiB, and when there is no space for
 * the next one PGlite never returns, and with it the process.
 */
const RESERVE = 32 * 2 ** 20;

/**
 * Opens the embedded store in a folder, alone. A first open copies the template, when one is named and whole, instead of
 * making the database by itself.
 * @throws Refusal `conflict` when it is open already, `unavailable` when the disk is full or the folder is no database.
 */
export async function openPglite(path: string, template: string | undefined, log: Logger): Promise<Store> {
  const lock = lockFolder(path);
  chmodSync(path, 0o700);
  try {
    return await open(path, template, log, lock);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

async function open(path: string, template: string | undefined, log: Logger, lock: Disposable): Promise<Store> {
  if (isFull(path)) throw storageFull();
  if (template !== undefined && !existsSync(join(path, "data"))) tryTemplate(template, join(path, "data"), log);
  const client = await start(path);
  log.info(
    { path },
    "the embedded database survives a killed process, but a power cut may lose data; use PostgreSQL where that matters",
  );

  const db = drizzle(client);
  const query: Query = async (statement, parameters = []) =>
    (await client.query<Record<string, unknown>>(statement, parameters)).rows;
  const driver: Driver = {
    kind: "pglite",
    transaction: (work) =>
      db.transaction((tx) => work(tx as unknown as Tx), isFull(path) ? { accessMode: "read only" } : undefined),
    listen: async (channel, wake) => {
      checkChannel(channel);
      const stop = await client.listen(channel, wake);
      return { [Symbol.asyncDispose]: () => stop() };
    },
  };

  // One session serves everybody: migrations of two services must not share its search path.
  const inLine = newLine();
  return {
    kind: "pglite",
    migrate: (service, folder) =>
      inLine(() => migrateService(query, (migrations) => migrate(db, migrations), service, folder)),
    database: (service) => databaseOf(driver, service),
    dump: (scope, sink) => dump(driver, scope, sink),
    load: (scope, rows) => load(driver, scope, rows),
    unprotectedTables: (service) => unprotectedTables(query, service),
    [Symbol.asyncDispose]: async () => {
      try {
        await client.close();
      } finally {
        lock[Symbol.dispose]();
      }
    },
  };
}

function tryTemplate(template: string, target: string, log: Logger): void {
  try {
    copyTemplate(template, target);
  } catch (error) {
    log.warn({ template, error }, "the template of the embedded database is not used; the database is made without it");
  }
}

function isFull(path: string): boolean {
  const { bsize, bavail } = statfsSync(path);
  return bsize * bavail < RESERVE;
}

async function start(path: string): Promise<PGlite> {
  try {
    const client = await PGlite.create(join(path, "data"));
    await client.exec(GIVE_AWAY_SUPERUSER);
    return client;
  } catch (error) {
    throw new Refusal(
      "unavailable",
      "DATABASE_UNREADABLE",
      `the embedded database in ${path} does not open: ${reasonOf(error)}`,
      {
        remedy: "see that the disk has space and the folder is readable; if its files are damaged, restore a backup",
      },
    );
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
