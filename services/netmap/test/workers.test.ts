import assert from "node:assert/strict";
import { and, asc, eq } from "drizzle-orm";
import { type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import { readMap } from "../store.ts";
import { logs } from "../schema.ts";
import type { Mirror } from "./mirror.ts";
import { any, tagged } from "./records.ts";
import { eventually, makeWorld, type World } from "./world.ts";

const TAGS = ["a", "b", "c"];

describe("two workers on one database", () => {
  withStores((under: StoreUnderTest) => {
    let world: World;
    beforeEach(async () => {
      world = await makeWorld(under.store);
    });
    afterEach(() => world.dispose());

    it("tell each viewer every change once, also when one of them dies in a storm", async () => {
      const first = world.worker(under.store);
      const second = world.worker(await under.openAgain());
      const nodes = Array.from({ length: 8 }, () => world.newNode());
      await world.putNodes(...nodes.map((nodeId, n) => ({ nodeId, tags: [TAGS[n % 3] ?? "a"] })));
      await world.putPolicy({ name: "r0", sources: [tagged("a")], destinations: [tagged("b")] });
      const onFirst = nodes.map((nodeId) => first.watch(nodeId));
      const onSecond = nodes.map((nodeId) => second.watch(nodeId));
      await eventually("first maps", () => [...onFirst, ...onSecond].every(({ fullMaps }) => fullMaps === 1));

      const moved: Mirror[] = [];
      let death: Promise<void> | undefined;
      for (let n = 0; n < 60; n++) {
        const nodeId = nodes[n % nodes.length];
        assert(nodeId);
        const tags = TAGS.filter((_, position) => ((n * 7 + position * 3) >> 1) % 2 === 0);
        if (n % 10 === 5)
          await world.putPolicy(
            { name: `r${n % 3}`, deny: n % 20 === 5, sources: [tagged("a")], destinations: [any()] },
            { name: "all", sources: [tagged("b")], destinations: [tagged("c")] },
          );
        else await world.putNodes({ nodeId, tags });
        if (n === 30) {
          death = (async () => {
            await second.stop();
            for (const mirror of onSecond) moved.push(first.watch(mirror.nodeId, mirror));
          })();
        }
      }
      await death;
      const db = under.store.database("netmap");
      const map = () => db.tenant(world.tenantId, (tx) => readMap(tx, world));
      // Eight nodes at first, then 54 changes of nodes.
      await untilAsync(async () => (await map()).registryCursor === 62n);
      const policyEnd = await world.policyRevision();
      await untilAsync(async () => (await map()).policyCursor === policyEnd);
      const end = await map();
      await eventually("everybody is there", () =>
        [...onFirst, ...moved].every(({ revision, error }) => error !== undefined || revision === end.revision),
      );
      assert.deepEqual(
        [...onFirst, ...moved].map(({ error }) => error),
        [...onFirst, ...moved].map(() => undefined),
      );
      const fresh = nodes.map((nodeId) => first.watch(nodeId));
      await eventually("fresh maps", () => fresh.every(({ fullMaps }) => fullMaps === 1));
      for (const [position, view] of fresh.entries()) {
        for (const other of [onFirst[position], moved[position]]) {
          assert.deepEqual(other?.nodes, view.nodes);
          assert.deepEqual(other?.rules, view.rules);
        }
      }
      const rows = await db.tenant(world.tenantId, (tx) =>
        tx
          .select()
          .from(logs)
          .where(and(eq(logs.tenantId, world.tenantId), eq(logs.cvlanId, world.cvlanId)))
          .orderBy(asc(logs.revision), asc(logs.ordinal)),
      );
      const revisions = [...new Set(rows.map(({ revision }) => revision))];
      assert.deepEqual(
        revisions,
        Array.from({ length: Number(end.revision) }, (_, n) => BigInt(n + 1)),
        "gap-free",
      );
      const written = rows.map(({ objectId, after }) => `${objectId} ${Buffer.from(after).toString("hex")}`);
      assert.equal(
        new Set(written.filter((row) => !row.endsWith(" "))).size,
        written.filter((row) => !row.endsWith(" ")).length,
        "no record was projected twice",
      );
      assert.deepEqual([...first.said], []);
      await first.stop();
    });

    it("a node that comes from a worker ahead of this one waits until this one is there", async () => {
      const first = world.worker(under.store);
      const node = world.newNode();
      await world.putNodes({ nodeId: node });
      const view = first.watch(node);
      await eventually("first map", () => view.fullMaps === 1);
      await view.stop();
      view.revision += 1n;
      const ahead = first.watch(node, view);
      await world.putNodes({ nodeId: node, tags: ["new"] });
      await eventually("the worker is there", () => ahead.revision === view.revision && ahead.frames > 0);
      assert.equal(ahead.error, undefined);
      await first.stop();
    });
  });
});

async function untilAsync(condition: () => Promise<boolean>): Promise<void> {
  const ends = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > ends) throw new Error("never");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
