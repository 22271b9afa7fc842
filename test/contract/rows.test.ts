import assert from "node:assert/strict";
import { AuthService, TenantKeys, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { NodeService, RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import type { ServiceName } from "@cloudvlan/kit/caller";
import type { Tx } from "@cloudvlan/kit/db";
import { createClient } from "@connectrpc/connect";
import { sql } from "drizzle-orm";
import { type Installation, newInstallation } from "./installation.ts";
import { invoke, refusalOf } from "./outcome.ts";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { ANY, allow, newSide, type Side } from "./world.ts";

const SERVICES: readonly ServiceName[] = ["auth", "registry", "policy", "netmap"];

/** Column that says whose a row is; these tables have it under another name. */
const OWNER_COLUMNS: Readonly<Record<string, string>> = {
  "auth.tenant": "id",
  "auth.root_transition": "tenant",
  "auth.key_rotation": "tenant",
  "auth.retired_key": "tenant",
  "registry.pending_denial": "owner",
  "registry.publication": "owner",
  "registry.fan_out": "owner",
};
/** Tables that hold nothing of any tenant. */
const OF_NO_TENANT = new Set([
  "auth.denial",
  "auth.context_key",
  "registry.installation",
  "registry.region",
  "registry.discovery_server",
  "registry.relay_revision",
  "registry.cluster_settings",
  "netmap.presence_worker",
]);

async function rowsOf(tx: Tx, query: ReturnType<typeof sql>): Promise<Record<string, unknown>[]> {
  return ((await tx.execute(query)) as unknown as { rows: Record<string, unknown>[] }).rows;
}

for (const kind of ["pglite", "postgres"] as const) {
  describe(`rows of tenants, on ${kind}`, function () {
    this.timeout(120_000);
    let installation: Installation;
    let sides: readonly [Side, Side];
    /** Every table of a service that holds rows of tenants, and the column that says of which. */
    const owned = new Map<ServiceName, { readonly table: string; readonly column: string }[]>();

    const database = (service: ServiceName) => installation.context(service).db;

    before(async () => {
      installation = await newInstallation({ kind });
      sides = [await newSide(installation, "alice"), await newSide(installation, "bob")];
      for (const side of sides) {
        const tenants = createClient(TenantService, installation.person(side.admin));
        await tenants.rotateTenantKeys({ tenantId: side.tenantId, which: TenantKeys.ROOT });
        const group = await side.newGroup();
        const member = await side.newMember();
        const nodes = createClient(NodeService, installation.person(side.admin));
        await nodes.updateNode({ ...member, tags: { tags: { role: "web" } } });
        await side.apply(allow("all", ANY, { case: "group", value: group.name }));
        const netmap = createClient(NetmapService, installation.holder(member.credential));
        await netmap.reportEndpoints({ endpoints: [{ address: "192.0.2.1", port: 51820 }] });
        await invoke(installation.holder(member.credential), NetmapService.method.watch, {});
        await side.revoke(await side.newMember());
        await tenants.rotateTenantKeys({ tenantId: side.tenantId, which: TenantKeys.ENROL });
      }
      for (const service of SERVICES) {
        const tables = await database(service).platform((tx) =>
          rowsOf(
            tx,
            sql`select c.relname as name, c.relrowsecurity and c.relforcerowsecurity as forced,
                exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id') as has_tenant
              from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where n.nspname = ${service} and c.relkind in ('r', 'p') order by 1`,
          ),
        );
        const found: { table: string; column: string }[] = [];
        for (const { name, forced, has_tenant } of tables) {
          const table = `${service}.${String(name)}`;
          const column = has_tenant === true ? "tenant_id" : OWNER_COLUMNS[table];
          if (column === undefined) {
            assert.ok(OF_NO_TENANT.has(table), `${table} says of no row whose it is; say here that it is nobody's`);
            continue;
          }
          assert.equal(forced, true, `${table} is not under row security`);
          found.push({ table, column });
        }
        owned.set(service, found);
      }
    });
    after(() => installation.close());

    for (const service of SERVICES) {
      describe(service, () => {
        it("has no table of tenants without row security", async () => {
          assert.deepEqual(await installation.store.unprotectedTables(service), []);
          assert.ok((owned.get(service) ?? []).length > 0);
        });

        it("sees nothing of any tenant outside of a tenant's transaction", async () => {
          const db = database(service);
          for (const { table, column } of owned.get(service) ?? []) {
            const query = sql.raw(`select ${column} as owner from ${table} where ${column} is not null`);
            // The owner's job of auth lists tenants, that of registry what is to be denied.
            if (column === "tenant_id") assert.deepEqual(await db.platform((tx) => rowsOf(tx, query)), [], table);
            await db.platform(async (tx) => {
              await tx.execute(sql`select set_config('app.tenant', '', true)`);
              assert.deepEqual(await rowsOf(tx, query), [], table);
            });
          }
        });

        it("sees its own tenant's rows and no others when a query has no condition", async () => {
          const db = database(service);
          let seen = 0;
          for (const { tenantId } of sides) {
            for (const { table, column } of owned.get(service) ?? []) {
              const query = sql.raw(`select ${column} as owner from ${table}`);
              const rows = await db.tenant(tenantId, (tx) => rowsOf(tx, query));
              seen += rows.length;
              for (const { owner } of rows) assert.equal(owner, tenantId, table);
            }
          }
          assert.ok(seen > 0, "nothing was there to be seen");
        });

        it("changes and removes no row of another tenant", async () => {
          const db = database(service);
          const [mine, theirs] = sides;
          const count = (table: string) =>
            db.tenant(theirs.tenantId, async (tx) => (await rowsOf(tx, sql.raw(`select 1 from ${table}`))).length);
          for (const { table, column } of owned.get(service) ?? []) {
            const before = await count(table);
            const statement = `delete from ${table} where ${column} = '${theirs.tenantId}'`;
            await db
              .tenant(mine.tenantId, (tx) => tx.execute(sql.raw(statement)))
              .catch((error: unknown) => {
                assert.match(table, /audit_log$/, String(error));
              });
            assert.equal(await count(table), before, table);
          }
        });

        it("has no right in another service's schema", async () => {
          for (const other of SERVICES.filter((name) => name !== service)) {
            const query = sql.raw(`select 1 from ${other}.audit_log`);
            await assert.rejects(
              database(service).tenant(sides[0].tenantId, (tx) => tx.execute(query)),
              /permission denied for schema/,
            );
          }
        });
      });
    }

    it("are not there for a call inside a transaction: it throws", async () => {
      const { db, client } = installation.context("registry");
      const { tenantId } = sides[0];
      const call = () => client(AuthService).getKeyset({ tenantId });
      await assert.rejects(db.tenant(tenantId, call), /inside a database transaction/);
      assert.ok((await call()).keyset);
    });

    it("are not for a service that calls in process and may not", async () => {
      assert.throws(() => installation.context("policy").client(NodeService), /does not declare/);
      assert.throws(() => installation.context("registry").client(RegistryService), /does not declare/);
      const { tenantId, cvlanId } = sides[0];
      for (const [service, method] of [
        ["auth", RegistryService.method.resolveTargets],
        ["registry", PolicyService.method.getPolicy],
        ["policy", NodeService.method.listNodes],
      ] as const) {
        const transport = installation.inProcess({ kind: "local", service });
        const told = await refusalOf(invoke(transport, method, { tenantId, cvlanId }));
        assert.deepEqual([told.code, told.reason], ["PermissionDenied", "SERVICE_NOT_ALLOWED"]);
      }
      const allowed = installation.inProcess({ kind: "local", service: "netmap" });
      await invoke(allowed, NodeService.method.listNodes, { tenantId, cvlanId });
    });
  });
}
