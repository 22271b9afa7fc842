import assert from "node:assert/strict";
import { type ChangeBatch, type ChangeStreams, changeStreams } from "../../changes/index.ts";
import type { Database } from "../../db/index.ts";
import { Refusal } from "../../errors/index.ts";
import { withStores } from "../../testing/stores.ts";
import { newTenant, noMigrations } from "./fixture.ts";

const node = (text: string) => ({ case: "node", value: new TextEncoder().encode(text) }) as const;

describe("change streams", () => {
  withStores((under) => {
    let db: Database;
    let changes: ChangeStreams;
    before(async () => {
      await under.store.migrate("registry", noMigrations);
      db = under.store.database("registry");
      changes = changeStreams({ db, service: "registry", heartbeatMs: 60_000 });
    });

    const objects = ({ changes: list }: ChangeBatch) => list.map((change) => `${change.objectId}@${change.revision}`);

    it("number changes without gaps and keep the latest of each object", async () => {
      const tenant = newTenant();
      const append = (...ids: string[]) =>
        db.tenant(tenant, (tx) =>
          changes.append(
            tx,
            "s",
            ids.map((objectId) => ({ objectId, change: node(objectId) })),
          ),
        );
      assert.equal(await append("a", "b"), 2n);
      assert.equal(await append("a"), 3n);
      assert.equal(await append("c", "c", "b"), 6n);
      const all = await changes.read(tenant, "s", 0n);
      assert.deepEqual([objects(all), all.revision], [["a@3", "c@5", "b@6"], 6n]);
      assert.deepEqual(all.changes[0]?.change, node("a"));
      const delta = await changes.read(tenant, "s", 5n);
      assert.deepEqual([objects(delta), delta.revision], [["b@6"], 6n]);
      assert.deepEqual(await changes.read(tenant, "other", 0n), { changes: [], revision: 0n });
    });

    it("keep tenants and the platform apart under one name", async () => {
      const [a, b] = [newTenant(), newTenant()];
      await db.tenant(a, (tx) => changes.append(tx, "shared", [{ objectId: "of a", change: node("a") }]));
      await db.platform((tx) => changes.append(tx, "shared", [{ objectId: "of all", change: node("p") }]));
      assert.deepEqual(objects(await changes.read(a, "shared", 0n)), ["of a@1"]);
      assert.deepEqual(objects(await changes.read(b, "shared", 0n)), []);
      assert.deepEqual(objects(await changes.read(undefined, "shared", 0n)), ["of all@1"]);
    });

    it("forget what was rolled back, number included", async () => {
      const tenant = newTenant();
      const failing = db.tenant(tenant, async (tx) => {
        await changes.append(tx, "s", [{ objectId: "x", change: node("x") }]);
        throw new Error("no");
      });
      await assert.rejects(failing, /no/);
      assert.equal(
        await db.tenant(tenant, (tx) => changes.append(tx, "s", [{ objectId: "y", change: node("y") }])),
        1n,
      );
    });

    it("stay free of gaps under parallel writers", async () => {
      const tenant = newTenant();
      const revisions = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          db.tenant(tenant, (tx) => changes.append(tx, "s", [{ objectId: `${i}`, change: node("n") }])),
        ),
      );
      assert.deepEqual(
        revisions.map(Number).toSorted((x, y) => x - y),
        Array.from({ length: 50 }, (_, i) => i + 1),
      );
    });

    it("answer in parts that continue each other", async () => {
      const tenant = newTenant();
      const many = Array.from({ length: 2500 }, (_, i) => ({ objectId: `o${i}`, change: node("x") }));
      const big = Array.from({ length: 3 }, (_, i) => ({
        objectId: `big${i}`,
        change: { case: "node", value: new Uint8Array(300_000) } as const,
      }));
      await db.tenant(tenant, (tx) => changes.append(tx, "s", [...many, ...big]));
      const seen: string[] = [];
      const sizes: number[] = [];
      for (let cursor = 0n; ;) {
        const batch = await changes.read(tenant, "s", cursor);
        if (batch.changes.length === 0) break;
        seen.push(...batch.changes.map((change) => change.objectId));
        sizes.push(batch.changes.length);
        cursor = batch.revision;
      }
      assert.deepEqual(
        seen,
        [...many, ...big].map((change) => change.objectId),
      );
      assert.deepEqual(sizes, [1000, 1000, 501, 1, 1]);
    });

    it("refuse a cursor past their end", async () => {
      await assert.rejects(
        changes.read(newTenant(), "s", 5n),
        (error: unknown) => error instanceof Refusal && error.reason === "CURSOR_AHEAD",
      );
    });

    it("deliver each commit of any worker to a watcher once, in order, until the signal", async () => {
      const tenant = newTenant();
      const other = await under.openAgain();
      const writer = other.database("registry");
      const elsewhere = changeStreams({ db: writer, service: "registry", heartbeatMs: 60_000 });
      const stop = new AbortController();
      const watch = changes.watch(tenant, "s", 0n, stop.signal)[Symbol.asyncIterator]();
      assert.deepEqual((await watch.next()).value, { changes: [], revision: 0n });
      const writing = (async () => {
        for (let i = 1; i <= 20; i++) {
          await writer.tenant(tenant, (tx) => elsewhere.append(tx, "s", [{ objectId: `n${i}`, change: node("n") }]));
        }
      })();
      const seen: string[] = [];
      while (seen.length < 20) seen.push(...objects((await watch.next()).value));
      await writing;
      assert.deepEqual(
        seen,
        Array.from({ length: 20 }, (_, i) => `n${i + 1}@${i + 1}`),
      );
      const last = watch.next();
      stop.abort();
      assert.deepEqual(await last, { value: undefined, done: true });
    });

    it("give signs of life, and listen only while somebody watches", async () => {
      const tenant = newTenant();
      let listening = 0;
      const counted: Database = {
        ...db,
        listen: async (channel, wake) => {
          const open = await db.listen(channel, wake);
          listening++;
          return {
            [Symbol.asyncDispose]: async () => {
              listening--;
              await open[Symbol.asyncDispose]();
            },
          };
        },
      };
      const quick = changeStreams({ db: counted, service: "registry", heartbeatMs: 20 });
      const stop = new AbortController();
      const watchers = Array.from({ length: 5 }, async () => {
        let beats = 0;
        for await (const batch of quick.watch(tenant, "quiet", 0n, stop.signal)) {
          assert.deepEqual(batch, { changes: [], revision: 0n });
          assert.equal(listening, 1);
          if (++beats === 4) break;
        }
        return beats;
      });
      assert.deepEqual(await Promise.all(watchers), [4, 4, 4, 4, 4]);
      assert.equal(listening, 0);
      stop.abort();
    });
  });
});
