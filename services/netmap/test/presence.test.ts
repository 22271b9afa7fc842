import assert from "node:assert/strict";
import type { Database } from "@cloudvlan/kit/db";
import { newId, type NodeId } from "@cloudvlan/kit/ids";
import { type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import { config } from "../config.ts";
import { openPresence, type Presence } from "../live/presence.ts";
import { type NodePresence, presenceOf } from "../presence-store.ts";
import { makeWorld, type World } from "./world.ts";

const BEAT = 0.3;

interface Running {
  readonly presence: Presence;
  /** As `kill -9` does: nothing is written any more, not even that it ends. */
  die(): void;
  stop(): Promise<void>;
}

describe("presence", () => {
  withStores((under: StoreUnderTest) => {
    let world: World;
    const running: Running[] = [];
    beforeEach(async () => {
      world = await makeWorld(under.store);
    });
    afterEach(async () => {
      for (const each of running.splice(0)) await each.stop();
      world.dispose();
    });

    const db = () => under.store.database("netmap");
    const of = async (...nodeIds: string[]): Promise<(NodePresence | undefined)[]> => {
      const found = await db().tenant(world.tenantId, (tx) => presenceOf(tx, world, nodeIds));
      return nodeIds.map((id) => found.get(id));
    };
    const online = async (...nodeIds: string[]) => (await of(...nodeIds)).map((each) => each?.online);

    function start(on: Database = db()): Running {
      let isDead = false;
      const whileAlive = (call: () => Promise<unknown>) => (isDead ? Promise.resolve() : call());
      const mortal: Database = {
        ...on,
        tenant: (id, work) => whileAlive(() => on.tenant(id, work)) as ReturnType<typeof work>,
        platform: (work) => whileAlive(() => on.platform(work)) as ReturnType<typeof work>,
      };
      const presence = openPresence({ config: config.parse({ heartbeat_seconds: BEAT }), db: mortal });
      const stopping = new AbortController();
      const done = presence.run(stopping.signal);
      const started: Running = {
        presence,
        die: () => void (isDead = true),
        stop: async () => {
          stopping.abort();
          await done;
        },
      };
      running.push(started);
      return started;
    }

    async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
      const ends = Date.now() + 60_000;
      while (!(await condition())) {
        if (Date.now() > ends) throw new Error(`never: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    const shows = (what: string, wanted: (boolean | undefined)[], ...nodeIds: string[]) =>
      until(what, async () => JSON.stringify(await online(...nodeIds)) === JSON.stringify(wanted));

    it("says who is there, since when, and where it stood", async () => {
      const { presence } = start();
      const [a, b, never] = [world.newNode(), world.newNode(), world.newNode()];
      using first = presence.opened(world, a, 7n);
      const second = presence.opened(world, b, 0n);
      await shows("both", [true, true], a, b);
      const [ofA, ofB, ofNever] = await of(a, b, never);
      assert.deepEqual([ofA?.revision, ofB?.revision, ofNever], [7n, 0n, undefined]);
      second[Symbol.dispose]();
      await shows("one", [true, false], a, b);
      const [, gone] = await of(a, b);
      assert.ok(gone && gone.lastSeen >= gone.since);
      assert.equal(gone.since.getTime(), ofB?.since.getTime());
      assert.ok(first);
    });

    it("counts a node with two streams until the last one ends, and one that comes back", async () => {
      const { presence } = start();
      const node = world.newNode();
      const [older, newer] = [presence.opened(world, node, 1n), presence.opened(world, node, 2n)];
      await shows("there", [true], node);
      newer[Symbol.dispose]();
      newer[Symbol.dispose]();
      const other = world.newNode();
      using _marker = presence.opened(world, other, 0n);
      await shows("the next one, written after it", [true, true], node, other);
      older[Symbol.dispose]();
      await shows("gone", [false], node);
      using _again = presence.opened(world, node, 3n);
      await shows("back", [true], node);
      assert.equal((await of(node))[0]?.revision, 3n);
    });

    it("shows the nodes of a worker that died offline, then online where they went", async () => {
      const [first, second] = [start(), start((await under.openAgain()).database("netmap"))];
      const [a, b] = [world.newNode(), world.newNode()];
      using _a = first.presence.opened(world, a, 1n);
      using _b = second.presence.opened(world, b, 1n);
      await shows("both", [true, true], a, b);
      first.die();
      await shows("the dead one's offline", [false, true], a, b);
      const [lost] = await of(a);
      assert.ok(lost && lost.lastSeen >= lost.since);
      using _moved = second.presence.opened(world, a, 2n);
      await shows("at the other", [true, true], a, b);
    });

    it("counts a node that polls until some time after its last poll", async () => {
      const presence = openPresence({ config: config.parse({ heartbeat_seconds: BEAT }), db: db() }, 1_500);
      const stopping = new AbortController();
      const done = presence.run(stopping.signal);
      const node = world.newNode();
      presence.polled(world, node, 1n);
      await shows("there", [true], node);
      presence.polled(world, node, 2n);
      await until("the second poll", async () => (await of(node))[0]?.revision === 2n);
      assert.deepEqual(await online(node), [true]);
      await shows("gone", [false], node);
      presence.polled(world, node, 3n);
      await shows("there again", [true], node);
      stopping.abort();
      await done;
      assert.deepEqual(await online(node), [false]);
    });

    it("is not undone by the old worker of a node that moved", async () => {
      const [first, second] = [start(), start()];
      const [node, marker] = [world.newNode(), world.newNode()];
      const old = first.presence.opened(world, node, 1n);
      await shows("there", [true], node);
      using _new = second.presence.opened(world, node, 2n);
      await until("the new one", async () => (await of(node))[0]?.revision === 2n);
      old[Symbol.dispose]();
      first.presence.opened(world, node, 3n)[Symbol.dispose]();
      using _marker = first.presence.opened(world, marker, 0n);
      await shows("what the old one wrote last", [true], marker);
      const [now] = await of(node);
      assert.deepEqual([now?.online, now?.revision], [true, 2n]);
    });

    it("ends with a worker that stops in order, at once", async () => {
      const worker = start();
      const node = world.newNode();
      worker.presence.opened(world, node, 1n);
      await shows("there", [true], node);
      await worker.stop();
      assert.deepEqual(await online(node), [false]);
    });

    it("writes when streams open and end, and nothing while they last", async () => {
      const { presence } = start();
      const nodes = Array.from({ length: 1_200 }, () => world.newNode());
      const streams = nodes.map((id) => presence.opened(world, id, 0n));
      await shows("the last", [true], nodes.at(-1) ?? "");
      const versions = async () => {
        const { rows } = (await db().tenant(world.tenantId, (tx) =>
          tx.execute(sql`select node_id, xmin::text as version from presence order by node_id`),
        )) as { rows: unknown[] };
        return JSON.stringify(rows);
      };
      const before = await versions();
      const beats = async () => {
        const { rows } = (await db().platform((tx) =>
          tx.execute(sql`select max(seen_at)::text as seen from presence_worker`),
        )) as { rows: { seen: string }[] };
        return rows[0]?.seen;
      };
      const first = await beats();
      await until("a few beats", async () => (await beats()) !== first);
      assert.equal(await versions(), before);
      for (const stream of streams) stream[Symbol.dispose]();
      await until("all offline", async () => (await online(...nodes)).every((each) => each === false));
    });

    it("tells a tenant nothing of another's nodes, nor of another cvlan", async () => {
      const { presence } = start();
      const node = world.newNode();
      using _stream = presence.opened(world, node, 1n);
      await shows("there", [true], node);
      const [tenantId, cvlanId] = [newId("tenant", Date.now()), newId("cvlan", Date.now())];
      const asked = (scope: Parameters<typeof presenceOf>[1]) =>
        db().tenant(scope.tenantId, (tx) => presenceOf(tx, scope, [node satisfies NodeId]));
      assert.equal((await asked({ ...world, tenantId })).size, 0);
      assert.equal((await asked({ ...world, cvlanId })).size, 0);
    });
  });
});
