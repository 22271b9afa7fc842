import assert from "node:assert/strict";
import { asc, sql } from "drizzle-orm";
import { auditLog } from "../../audit/index.ts";
import { auditLogTable } from "../../audit/tables.ts";
import { DatabaseError, type Database, type Tx } from "../../db/index.ts";
import { withStores } from "../../testing/stores.ts";
import { newTenant, noMigrations, serviceCaller } from "./fixture.ts";

describe("the audit log", () => {
  const audit = auditLog("cluster_1");

  withStores((under) => {
    let db: Database;
    before(async () => {
      await under.store.migrate("policy", noMigrations);
      db = under.store.database("policy");
    });

    const entry = (objectId: string) => ({ action: "/a.B/C", objectId, outcome: "ok" });
    const rows = (tx: Tx) => tx.select().from(auditLogTable).orderBy(asc(auditLogTable.sequence));

    it("numbers the rows of each tenant without gaps, whatever is rolled back and however many write", async () => {
      const [a, b] = [newTenant(), newTenant()];
      await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          db
            .tenant(i % 2 ? a : b, async (tx) => {
              await audit.record(tx, serviceCaller, entry(`${i}`));
              if (i % 5 === 0) throw new Error("rolled back");
            })
            .catch((error: unknown) => assert.match(String(error), /rolled back/)),
        ),
      );
      for (const tenant of [a, b]) {
        const found = await db.tenant(tenant, rows);
        assert.deepEqual(
          found.map((row) => row.sequence),
          Array.from({ length: 16 }, (_, i) => BigInt(i + 1)),
        );
        assert.ok(
          found.every(
            (row) => row.tenantId === tenant && row.actor === "service:policy" && row.clusterId === "cluster_1",
          ),
        );
      }
    });

    it("has rows of the platform beside those of tenants", async () => {
      await db.platform((tx) => audit.record(tx, serviceCaller, entry("p")));
      assert.deepEqual(
        (await db.platform(rows)).map((row) => [row.tenantId, row.sequence, row.objectId]),
        [[null, 1n, "p"]],
      );
    });

    it("can be changed neither by the service nor by the owner of the table", async () => {
      const tenant = newTenant();
      await db.tenant(tenant, (tx) => audit.record(tx, serviceCaller, entry("kept")));
      for (const attempt of [
        "update policy.audit_log set outcome = 'x'",
        "delete from policy.audit_log",
        "truncate policy.audit_log",
      ]) {
        for (const role of ["", "set local role none"]) {
          const tampering = db.tenant(tenant, async (tx) => {
            if (role) await tx.execute(sql.raw(role));
            await tx.execute(sql.raw(attempt));
          });
          await assert.rejects(tampering, (error: unknown) => {
            assert.ok(error instanceof DatabaseError && error.code === "42501");
            assert.match(error.message, role ? /append-only/ : /permission denied/);
            return true;
          });
        }
      }
      assert.deepEqual(
        (await db.tenant(tenant, rows)).map((row) => row.outcome),
        ["ok"],
      );
    });
  });
});
