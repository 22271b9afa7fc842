import assert from "node:assert/strict";
import { and, eq, sql } from "drizzle-orm";
import { DatabaseError, type Database, inTransaction, isUniqueViolation, openStore, type Tx } from "../../db/index.ts";
import { Refusal } from "../../errors/index.ts";
import { silentLog } from "../../testing/log.ts";
import { newConfig, withStores } from "../../testing/stores.ts";
import { newTenant, noMigrations, thing, thingMigrations } from "./fixture.ts";

describe("a store", () => {
  withStores((under) => {
    let db: Database;
    before(async () => {
      await under.store.migrate("registry", thingMigrations);
      db = under.store.database("registry");
    });

    const put = (name: string) => (tx: Tx) =>
      tx.insert(thing).values({ tenantId: null, name, amount: 1n, body: new Uint8Array() });
    const names = async (tx: Tx) => (await tx.select({ name: thing.name }).from(thing)).map((row) => row.name);

    it("shows a transaction the rows of its tenant and of nobody else, whatever the query says", async () => {
      const [a, b] = [newTenant(), newTenant()];
      for (const tenantId of [a, b]) {
        await db.tenant(tenantId, (tx) =>
          tx.insert(thing).values({ tenantId, name: `of ${tenantId}`, amount: 7n, body: Uint8Array.of(1, 2) }),
        );
      }
      await db.platform(put("of the platform"));
      assert.deepEqual(await db.tenant(a, names), [`of ${a}`]);
      assert.deepEqual(await db.tenant(b, names), [`of ${b}`]);
      assert.deepEqual(await db.platform(names), ["of the platform"]);
      const [row] = await db.tenant(a, (tx) => tx.select().from(thing));
      assert.deepEqual(row, { tenantId: a, name: `of ${a}`, amount: 7n, body: Uint8Array.of(1, 2) });
    });

    it("lets a transaction neither write nor change rows of another tenant", async () => {
      const [a, b] = [newTenant(), newTenant()];
      await db.tenant(b, (tx) =>
        tx.insert(thing).values({ tenantId: b, name: "kept", amount: 1n, body: new Uint8Array() }),
      );
      await assert.rejects(
        db.tenant(a, (tx) =>
          tx.insert(thing).values({ tenantId: b, name: "foreign", amount: 1n, body: new Uint8Array() }),
        ),
        (error: unknown) => error instanceof DatabaseError && error.code === "42501",
      );
      await db.tenant(a, async (tx) => {
        await tx.update(thing).set({ amount: 99n });
        await tx.delete(thing);
      });
      assert.deepEqual(await db.tenant(b, (tx) => tx.select({ amount: thing.amount }).from(thing)), [{ amount: 1n }]);
    });

    it("gives a service no right over another service's schema", async () => {
      await under.store.migrate("policy", noMigrations);
      await assert.rejects(
        under.store.database("policy").platform((tx) => tx.execute(sql`select * from registry.thing`)),
        (error: unknown) => error instanceof DatabaseError && error.code === "42501",
      );
    });

    it("does not show a service role anything outside a tenant's or the platform's transaction", async () => {
      const tenantId = newTenant();
      await db.tenant(tenantId, (tx) =>
        tx.insert(thing).values({ tenantId, name: "hidden", amount: 1n, body: new Uint8Array() }),
      );
      await db.platform(put("hidden too"));
      // What a query finds when app.tenant was never set, or is left empty by an earlier transaction.
      await db.platform(async (tx) => {
        await tx.execute(sql`select set_config('app.tenant', '', true)`);
        assert.deepEqual(await names(tx), []);
      });
    });

    it("keeps row security through every way back to the session's own role", async () => {
      const tenantId = newTenant();
      await db.tenant(tenantId, (tx) =>
        tx.insert(thing).values({ tenantId, name: "guarded", amount: 1n, body: new Uint8Array() }),
      );
      for (const back of ["reset role", "reset session authorization", "set local role none", "reset all"]) {
        await db.platform(async (tx) => {
          await tx.execute(sql.raw(back));
          const superuser = await tx.execute(sql`select current_setting('is_superuser') as it`);
          assert.deepEqual((superuser as { rows: unknown[] }).rows, [{ it: "off" }], back);
          const found = await tx.execute(sql`select name from registry.thing where tenant_id is not null`);
          assert.deepEqual((found as { rows: unknown[] }).rows, [], back);
        });
      }
    });

    it("leaves no table with a tenant unprotected, and says so when one is", async () => {
      await under.store.migrate("netmap", noMigrations);
      assert.deepEqual(await under.store.unprotectedTables("netmap"), []);
      assert.deepEqual(await under.store.unprotectedTables("registry"), []);
    });

    it("rolls back what throws, and hands the error on", async () => {
      const tenantId = newTenant();
      const refusal = new Refusal("conflict", "NO", "no");
      await assert.rejects(
        db.tenant(tenantId, async (tx) => {
          await tx.insert(thing).values({ tenantId, name: "undone", amount: 1n, body: new Uint8Array() });
          throw refusal;
        }),
        (error: unknown) => error === refusal,
      );
      assert.deepEqual(await db.tenant(tenantId, names), []);
    });

    it("names a violated constraint and none of the values", async () => {
      const tenantId = newTenant();
      const insert = (tx: Tx) =>
        tx.insert(thing).values({ tenantId, name: "s3cret", amount: 1n, body: new Uint8Array() });
      await db.tenant(tenantId, insert);
      await assert.rejects(db.tenant(tenantId, insert), (error: unknown) => {
        assert.ok(error instanceof DatabaseError);
        assert.ok(isUniqueViolation(error, "thing_key") && !isUniqueViolation(error, "other_key"));
        assert.ok(!JSON.stringify([error.message, error.stack]).includes("s3cret"));
        return true;
      });
    });

    it("refuses a transaction inside a transaction, and knows when it is in one", async () => {
      assert.equal(inTransaction(), false);
      let after: Promise<boolean> | undefined;
      await db.platform(async () => {
        assert.equal(inTransaction(), true);
        after = new Promise((resolve) => setTimeout(() => resolve(inTransaction()), 50));
        await assert.rejects(
          db.platform(async () => undefined),
          /inside a transaction/,
        );
      });
      assert.equal(inTransaction(), false);
      assert.equal(await after, false);
    });

    it("counts without losing one under parallel writers", async () => {
      const tenantId = newTenant();
      await db.tenant(tenantId, (tx) =>
        tx.insert(thing).values({ tenantId, name: "counter", amount: 0n, body: new Uint8Array() }),
      );
      const increment = (tx: Tx) =>
        tx
          .update(thing)
          .set({ amount: sql`${thing.amount} + 1` })
          .where(and(eq(thing.tenantId, tenantId), eq(thing.name, "counter")));
      await Promise.all(Array.from({ length: 60 }, () => db.tenant(tenantId, increment)));
      assert.deepEqual(await db.tenant(tenantId, (tx) => tx.select({ amount: thing.amount }).from(thing)), [
        { amount: 60n },
      ]);
    });

    it("keeps tenants apart when their transactions interleave", async () => {
      const tenants = Array.from({ length: 8 }, newTenant);
      await Promise.all(
        Array.from({ length: 160 }, async (_, index) => {
          const tenantId = tenants[index % tenants.length] ?? newTenant();
          await db.tenant(tenantId, (tx) =>
            tx.insert(thing).values({ tenantId, name: `${index}`, amount: 0n, body: new Uint8Array() }),
          );
          const seen = await db.tenant(tenantId, (tx) => tx.select({ of: thing.tenantId }).from(thing));
          assert.ok(seen.length > 0 && seen.every((row) => row.of === tenantId));
        }),
      );
    });

    it("wakes a listener after the commit and not after a rollback", async () => {
      const heard: (string | undefined)[] = [];
      let first: (() => void) | undefined;
      const woken = new Promise<void>((resolve) => (first = resolve));
      await using _listening = await db.listen("registry_test", (payload) => {
        heard.push(payload);
        first?.();
      });
      const undone = db.platform(async (tx) => {
        await tx.execute(sql`select pg_notify('registry_test', 'undone')`);
        throw new Error("undone");
      });
      await assert.rejects(undone, /undone/);
      await db.platform((tx) => tx.execute(sql`select pg_notify('registry_test', 'done')`));
      await woken;
      assert.deepEqual(heard, ["done"]);
    });

    it("refuses to listen inside a transaction", async () => {
      const listening = db.platform(() => db.listen("registry_wake", () => undefined));
      await assert.rejects(listening, /inside a transaction/);
    });

    it("migrates again without effect, also in parallel", async () => {
      const again = await under.openAgain();
      await Promise.all([
        under.store.migrate("registry", thingMigrations),
        again.migrate("registry", thingMigrations),
        under.store.migrate("auth", noMigrations),
        again.migrate("auth", noMigrations),
      ]);
      assert.deepEqual(await again.unprotectedTables("auth"), []);
    });

    it("has everything after it was closed and opened", async () => {
      const tenantId = newTenant();
      await db.tenant(tenantId, (tx) =>
        tx.insert(thing).values({ tenantId, name: "durable", amount: 1n, body: new Uint8Array() }),
      );
      await under.reopen();
      db = under.store.database("registry");
      assert.deepEqual(await db.tenant(tenantId, names), ["durable"]);
    });
  });

  it("is locked by whoever opened it, on PGlite", async function () {
    this.timeout(60_000);
    const { config } = await newConfig("pglite");
    await using _store = await openStore(config, silentLog);
    await assert.rejects(openStore(config, silentLog), (error: unknown) => {
      assert.ok(error instanceof Refusal && error.reason === "STORE_LOCKED");
      assert.match(error.message, new RegExp(`process ${process.pid}$`));
      return true;
    });
  });
});
