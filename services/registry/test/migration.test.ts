import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@cloudvlan/kit/ids";
import { withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import { registry } from "../service.ts";

/** The migrations folder as it was with the first so many. */
function former(count: number): string {
  const folder = mkdtempSync(join(tmpdir(), "cvlan-migrations-"));
  cpSync(registry.migrations, folder, { recursive: true });
  const journal = join(folder, "meta", "_journal.json");
  const { entries, ...rest } = JSON.parse(readFileSync(journal, "utf8")) as { entries: unknown[] };
  writeFileSync(journal, JSON.stringify({ ...rest, entries: entries.slice(0, count) }));
  return folder;
}

describe("migrating registry", () => {
  withStores((stores) => {
    it("has the cvlans of the first version published, and those that a worker of it makes meanwhile", async () => {
      const folder = former(1);
      after(() => rmSync(folder, { recursive: true }));
      await stores.store.migrate("registry", folder);
      const db = stores.store.database("registry");
      const tenants = [newId("tenant", Date.now()), newId("tenant", Date.now())];
      let made = 0;
      const insert = async (tenantId: (typeof tenants)[number]) => {
        const id = newId("cvlan", Date.now());
        made++;
        await db.tenant(tenantId, (tx) =>
          tx.execute(sql`insert into cvlan (tenant_id, id, name, ipv4_pool, ipv6_prefix, created_at, created_by, seal)
            values (${tenantId}, ${id}, 'main', '100.64.0.0/10', ${`fd00:0:0:${made}::/64`}, now(), 'test', '')`),
        );
        return id;
      };
      const ids: string[] = [];
      for (const tenantId of tenants) ids.push(await insert(tenantId));
      await stores.store.migrate("registry", registry.migrations);
      const late = newId("tenant", Date.now());
      ids.push(await insert(late));
      const listed = async (rows: Promise<unknown>) =>
        ((await rows) as { rows: { cvlan_id: string; owner: string; due: boolean }[] }).rows;
      const query = sql`select * from publication order by cvlan_id`;
      const all = await listed(db.platform((tx) => tx.execute(query)));
      assert.deepEqual(
        all.map(({ cvlan_id, owner, due }) => [cvlan_id, owner, due]),
        ids.toSorted().map((id) => [id, [...tenants, late][ids.indexOf(id)], true]),
      );
      const own = await listed(db.tenant(late, (tx) => tx.execute(query)));
      assert.deepEqual(own.length, 1, "a tenant sees its own");
    });
  });
});
