import { sql } from "drizzle-orm";
import type { ServiceName } from "../caller/index.ts";
import { Refusal } from "../errors/index.ts";
import type { Tx } from "./index.ts";
import { roleOf } from "./roles.ts";
import { transactionScope } from "./scope.ts";
import { type Driver, PLATFORM } from "./transaction.ts";

/** A row as any store of the same schema can take it. */
export interface ArchivedRow {
  readonly service: ServiceName;
  readonly table: string;
  /** The row as PostgreSQL writes it in JSON: `bytea` as `\x…`, numbers as they are. */
  readonly json: string;
}

/** Which services, and where the tenants are listed: rows of a tenant are seen in a transaction of that tenant alone. */
export interface ArchiveScope {
  readonly services: readonly ServiceName[];
  readonly tenants: { readonly service: ServiceName; readonly table: string; readonly column: string };
}

interface Table {
  readonly name: string;
  /** True when `tenant_owned` made it so: its rows are seen by their tenant alone. The platform sees all others. */
  readonly isTenants: boolean;
}

/** Rows fetched or stored at once. */
const BATCH_ROWS = 500;
const BATCH_CHARACTERS = 4 * 2 ** 20;

/** Tables of the schema that is the search path, those that others refer to first. */
const TABLES = sql`
  with recursive own as (
    select c.oid, c.relname, exists (
      select from pg_policy p where p.polrelid = c.oid and p.polname = 'tenant_isolation'
    ) as tenants from pg_class c
    where c.relnamespace = to_regnamespace(current_schema()::text) and c.relkind = 'r'
  ), depth as (
    select oid, 0 as level from own
    union all
    select f.conrelid, d.level + 1 from depth d join pg_constraint f on f.confrelid = d.oid
    where f.contype = 'f' and f.conrelid <> f.confrelid and d.level < 64
  )
  select o.relname as name, o.tenants, max(d.level) as level
  from own o join depth d using (oid) group by 1, 2 order by level, name`;

async function rowsOf<T extends object>(tx: Tx, statement: ReturnType<typeof sql>): Promise<T[]> {
  return ((await tx.execute(statement)) as unknown as { rows: T[] }).rows;
}

/** From here on the transaction is the service's, for one tenant or for the platform. */
async function become(tx: Tx, service: ServiceName, tenant: string): Promise<void> {
  await tx.execute(
    sql`select set_config('role', ${roleOf(service)}, true), set_config('search_path', ${service}, true), set_config('app.tenant', ${tenant}, true)`,
  );
}

/** An archive may take longer than a request. */
async function beginLong(tx: Tx): Promise<void> {
  await tx.execute(sql`set transaction isolation level repeatable read`);
  await tx.execute(
    sql`select set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)`,
  );
}

async function tablesOf(tx: Tx): Promise<Table[]> {
  const found = await rowsOf<{ name: string; tenants: boolean }>(tx, TABLES);
  return found.map(({ name, tenants }) => ({ name, isTenants: tenants }));
}

/** Gives every row of the services to `sink`, as one moment of the database; parents before what refers to them. */
export async function dump(
  driver: Driver,
  { services, tenants }: ArchiveScope,
  sink: (row: ArchivedRow) => Promise<void>,
): Promise<void> {
  await transactionScope(() =>
    driver.transaction(async (tx) => {
      await beginLong(tx);
      await become(tx, tenants.service, PLATFORM);
      const list = sql`select ${sql.identifier(tenants.column)} as id from ${sql.identifier(tenants.table)} order by 1`;
      const scopes = [PLATFORM, ...(await rowsOf<{ id: string }>(tx, list)).map(({ id }) => id)];
      for (const service of services) {
        await become(tx, service, PLATFORM);
        const tables = await tablesOf(tx);
        for (const { name, isTenants } of tables) {
          for (const scope of isTenants ? scopes : [PLATFORM]) {
            await become(tx, service, scope);
            await dumpTable(tx, service, name, sink);
          }
        }
      }
    }),
  );
}

async function dumpTable(
  tx: Tx,
  service: ServiceName,
  table: string,
  sink: (row: ArchivedRow) => Promise<void>,
): Promise<void> {
  const rows = sql`select row_to_json(whole)::text as json from ${sql.identifier(table)} as whole`;
  await tx.execute(sql`declare archived no scroll cursor for ${rows}`);
  for (;;) {
    const batch = await rowsOf<{ json: string }>(tx, sql`fetch ${sql.raw(String(BATCH_ROWS))} from archived`);
    for (const { json } of batch) await sink({ service, table, json });
    if (batch.length < BATCH_ROWS) break;
  }
  await tx.execute(sql`close archived`);
}

/**
 * Stores rows as `dump` gave them, all or none. The schemas are migrated and empty.
 * @returns how many.
 * @throws Refusal `conflict` when a table holds rows already.
 */
export async function load(
  driver: Driver,
  { services }: ArchiveScope,
  rows: AsyncIterable<ArchivedRow>,
): Promise<number> {
  return await transactionScope(() =>
    driver.transaction(async (tx) => {
      await beginLong(tx);
      for (const service of services) await requireEmpty(tx, service);
      // What triggers did when the rows were first written is in the archive.
      for (const service of services) await switchTriggers(tx, service, "disable");
      let count = 0;
      for await (const batch of batchesOf(rows)) {
        await store(tx, batch);
        count += batch.rows.length;
      }
      for (const service of services) await switchTriggers(tx, service, "enable");
      return count;
    }),
  );
}

/** Rows of tenants are seen only in transactions of theirs: an installation has rows of the platform as well. */
async function requireEmpty(tx: Tx, service: ServiceName): Promise<void> {
  await become(tx, service, PLATFORM);
  for (const { name } of await tablesOf(tx)) {
    const found = await rowsOf(tx, sql`select 1 from ${sql.identifier(name)} limit 1`);
    if (found.length === 0) continue;
    throw new Refusal(
      "conflict",
      "STORE_NOT_EMPTY",
      `the database holds an installation already (${service}.${name})`,
      {
        remedy: "name an empty database; nothing was changed",
      },
    );
  }
}

/** As the owner of the tables, who migrates. */
async function switchTriggers(tx: Tx, service: ServiceName, how: "disable" | "enable"): Promise<void> {
  await tx.execute(sql`select set_config('role', 'none', true), set_config('search_path', ${service}, true)`);
  for (const { name } of await tablesOf(tx)) {
    await tx.execute(sql`alter table ${sql.identifier(name)} ${sql.raw(how)} trigger user`);
  }
}

interface Batch {
  readonly service: ServiceName;
  readonly table: string;
  readonly tenant: string;
  readonly columns: readonly string[];
  readonly rows: string[];
}

/** Rows that one statement can store. */
async function* batchesOf(rows: AsyncIterable<ArchivedRow>): AsyncIterable<Batch> {
  let batch: Batch | undefined;
  let characters = 0;
  for await (const { service, table, json } of rows) {
    const row = JSON.parse(json) as Record<string, unknown>;
    const tenant = typeof row["tenant_id"] === "string" ? row["tenant_id"] : PLATFORM;
    const fits =
      batch?.service === service &&
      batch.table === table &&
      batch.tenant === tenant &&
      batch.rows.length < BATCH_ROWS &&
      characters + json.length < BATCH_CHARACTERS;
    if (!batch || !fits) {
      if (batch) yield batch;
      batch = { service, table, tenant, columns: Object.keys(row), rows: [] };
      characters = 0;
    }
    batch.rows.push(json);
    characters += json.length;
  }
  if (batch) yield batch;
}

async function store(tx: Tx, { service, table, tenant, columns, rows }: Batch): Promise<void> {
  await become(tx, service, tenant);
  // With its schema: a table may be named like a type.
  const into = sql`${sql.identifier(service)}.${sql.identifier(table)}`;
  const names = sql.join(
    columns.map((column) => sql.identifier(column)),
    sql`, `,
  );
  const json = `[${rows.join(",")}]`;
  await tx.execute(
    sql`insert into ${into} (${names}) select ${names} from json_populate_recordset(null::${into}, ${json}::json)`,
  );
}
