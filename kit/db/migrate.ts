import { fileURLToPath } from "node:url";
import type { ServiceName } from "../caller/index.ts";
import { ensureRole, type Query, roleOf } from "./roles.ts";

/** Where drizzle's migrator finds files and keeps what it has run. */
export interface Migrations {
  readonly migrationsFolder: string;
  readonly migrationsSchema: string;
  readonly migrationsTable: string;
}

const KIT_MIGRATIONS = fileURLToPath(new URL("migrations", import.meta.url));

/**
 * Brings one service's schema up to date on a connection that nobody else uses meanwhile: role, schema, kit's tables,
 * the service's own. Statements of migrations need not name the schema: it is the search path.
 * @param apply drizzle's migrator of the store, on the same connection as `query`.
 */
export async function migrateService(
  query: Query,
  apply: (migrations: Migrations) => Promise<void>,
  service: ServiceName,
  migrationsFolder: string,
): Promise<void> {
  const role = roleOf(service);
  await ensureRole(query, service);
  await query(`create schema if not exists ${service}`);
  await query(`revoke all on schema ${service} from public`);
  await query(`grant usage on schema ${service} to ${role}`);
  await query(
    `alter default privileges in schema ${service} grant select, insert, update, delete on tables to ${role}`,
  );
  await query(`alter default privileges in schema ${service} grant usage on sequences to ${role}`);
  await query(`set search_path to ${service}`);
  try {
    await apply({ migrationsFolder: KIT_MIGRATIONS, migrationsSchema: "drizzle", migrationsTable: `kit_${service}` });
    await apply({ migrationsFolder, migrationsSchema: "drizzle", migrationsTable: service });
  } finally {
    await query("reset search_path");
  }
  const open = await unprotectedTables(query, service);
  if (open.length > 0) {
    throw new Error(
      `row security is missing on ${open.join(", ")}; its migration must end with: SELECT tenant_owned('<table>')`,
    );
  }
}

/** Tables of a schema that have a `tenant_id` and not exactly the policy that `tenant_owned` makes, forced on their owner too. */
const UNPROTECTED_TABLES = `
  select n.nspname || '.' || c.relname as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = $1 and c.relkind in ('r', 'p')
    and exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
    and not (c.relrowsecurity and c.relforcerowsecurity
      and (select count(*) = 1 and bool_and(p.polname = 'tenant_isolation' and p.polcmd = '*' and p.polpermissive and p.polroles = '{0}'
            and p.polwithcheck is null
            and pg_get_expr(p.polqual, p.polrelid)
              ~ '^\\(\\(tenant_id = (\\w+\\.)?current_tenant\\(\\)\\) OR \\(\\(tenant_id IS NULL\\) AND (\\w+\\.)?in_platform\\(\\)\\)\\)$')
          from pg_policy p where p.polrelid = c.oid))
  order by 1`;

/** Names of the tables of a service that hold rows of tenants without being under row security. Empty is right. */
export async function unprotectedTables(query: Query, service: ServiceName): Promise<string[]> {
  return (await query(UNPROTECTED_TABLES, [service])).map((row) => String(row["name"]));
}
