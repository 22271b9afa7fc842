import type { ServiceName } from "../caller/index.ts";

/** Role under which a service's transactions run. */
export function roleOf(service: ServiceName): string {
  return `cloudvlan_${service}`;
}

/** Runs one statement and returns its rows. */
export type Query = (statement: string, parameters?: string[]) => Promise<Record<string, unknown>[]>;

/**
 * Sees that the service's role exists, cannot log in, is bound by row security, and may be taken by the migrating role.
 * @throws Error with the statements an administrator has to run, when the migrating role may not create roles.
 */
export async function ensureRole(query: Query, service: ServiceName): Promise<void> {
  const role = roleOf(service);
  const found = await query("select rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname = $1", [role]);
  if (found.length === 0) {
    const [login] = await query(
      "select current_user as name, rolcreaterole or rolsuper as allowed from pg_roles where rolname = current_user",
    );
    if (login?.["allowed"] !== true) {
      throw new Error(
        `the database has no role ${role}; have an administrator run: CREATE ROLE ${role} NOLOGIN; GRANT ${role} TO "${String(login?.["name"])}"`,
      );
    }
    // Roles belong to the whole server: a start on another database may make the same one at the same time.
    await query(
      `do $$ begin create role ${role} nologin nosuperuser nobypassrls nocreatedb nocreaterole; exception when duplicate_object or unique_violation then null; end $$`,
    );
  } else if (
    found[0]?.["rolsuper"] === true ||
    found[0]?.["rolbypassrls"] === true ||
    found[0]?.["rolcanlogin"] === true
  ) {
    throw new Error(
      `role ${role} is not bound by row security or may log in; have an administrator run: ALTER ROLE ${role} NOLOGIN NOSUPERUSER NOBYPASSRLS`,
    );
  }
  // From PostgreSQL 16 on, the maker of a role administers it and may still not take it.
  const [member] = await query(
    `select case when current_setting('server_version_num')::int < 160000 then pg_has_role(current_user, $1, 'MEMBER')
     else pg_has_role(current_user, $1, 'SET') end as member`,
    [role],
  );
  if (member?.["member"] !== true) await query(`grant ${role} to current_user`);
}
