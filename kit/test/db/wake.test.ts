import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { sql } from "drizzle-orm";
import { inTransaction } from "../../db/index.ts";
import { withStores } from "../../testing/stores.ts";
import { newTenant, noMigrations } from "./fixture.ts";

describe("whoever a notification wakes", () => {
  withStores((under) => {
    before(() => under.store.migrate("policy", noMigrations));

    it("is neither in the transaction that sent it nor in its request", async () => {
      const request = new AsyncLocalStorage<string>();
      const { promise: woken, resolve } = Promise.withResolvers<{ inside: boolean; request: string | undefined }>();
      const db = under.store.database("policy");
      await using _listening = await db.listen("policy_wake", () =>
        resolve({ inside: inTransaction(), request: request.getStore() }),
      );
      await request.run("the writer's", () =>
        db.tenant(newTenant(), async (tx) => {
          await tx.execute(sql`select pg_notify('policy_wake', '')`);
        }),
      );
      assert.deepEqual(await woken, { inside: false, request: undefined });
    });

    it("may begin to listen at once with others", async () => {
      const warnings: string[] = [];
      const hear = (warning: Error): void => void warnings.push(warning.message);
      process.on("warning", hear);
      const db = under.store.database("policy");
      const listening = await Promise.all(
        Array.from({ length: 20 }, (_, n) => db.listen(`policy_at_once_${n}`, () => undefined)),
      );
      for (const each of listening) await each[Symbol.asyncDispose]();
      await new Promise((resolve) => setImmediate(resolve));
      process.off("warning", hear);
      assert.deepEqual(warnings, []);
    });
  });
});
