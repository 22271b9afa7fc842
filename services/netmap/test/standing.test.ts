import assert from "node:assert/strict";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import { maps } from "../schema.ts";
import { readMap } from "../store.ts";
import { tagged } from "./records.ts";
import { eventually, makeWorld, type Worker, type World } from "./world.ts";

const everybody = { name: "all", sources: [tagged("any")], destinations: [tagged("any")] };

describe("the map of a suspended tenant", () => {
  withStores((under: StoreUnderTest) => {
    let world: World;
    let workers: Worker[];
    beforeEach(async () => {
      world = await makeWorld(under.store);
      workers = [world.worker(under.store), world.worker(await under.openAgain())];
      await world.putPolicy(everybody);
    });
    afterEach(async () => {
      for (const worker of workers) {
        await worker.stop();
        assert.deepEqual(worker.said, []);
      }
      world.dispose();
    });

    const [suspended, active] = [Status.SUSPENDED, Status.ACTIVE];
    const tell = (worker: Worker | undefined, status: Status, revision: bigint) =>
      worker?.standings.take({ tenantId: world.tenantId, status, revision });
    const stored = () => under.store.database("netmap").tenant(world.tenantId, (tx) => readMap(tx, world));
    const newNode = async () => {
      const nodeId = world.newNode();
      await world.putNodes({ nodeId, tags: ["any"] });
      return nodeId;
    };

    it("has no peers and no rules at any worker, whichever heard first, until it is active again", async () => {
      const [first, second] = workers;
      assert.ok(first && second);
      const [a, b] = [await newNode(), await newNode()];
      const views = [first.watch(a), second.watch(b)];
      const know = (peers: number) => () => views.every((view) => view.peers.length === peers);
      await eventually("both know each other", know(1));

      tell(first, suspended, 2n);
      await eventually("neither knows the other", know(0));
      assert.ok(views.every(({ rules, nodes }) => rules.size === 0 && nodes.size === 1));
      await eventually("it is written", () => views.every(({ fullMaps }) => fullMaps >= 2));

      // What changes meanwhile is told to nobody; the stream goes on.
      const c = await newNode();
      const third = first.watch(c);
      await eventually("the third has its own record", () => third.fullMaps > 0);
      await eventually("heads go on", () => views.every((view) => view.revision === third.revision));
      assert.deepEqual([third.peers, ...views.map(({ peers }) => peers)], [[], [], []]);

      tell(first, active, 3n);
      await eventually("they know each other again", know(2));
      // What the second hears late is older than what is written.
      tell(second, suspended, 2n);
      tell(second, active, 3n);
      await eventually("still", know(2));
      assert.equal((await stored()).suspended, false);
    });

    it("is whole again for a node that was away when the tenant came back", async () => {
      const [first, second] = workers;
      assert.ok(first && second);
      const [a, b] = [await newNode(), await newNode()];
      const before = first.watch(a);
      await eventually("its peer", () => before.peers.length === 1);
      tell(first, suspended, 2n);
      await eventually("no peer", () => before.peers.length === 0);
      await eventually("written", () => before.fullMaps >= 2);
      let standing = await stored();
      while (!standing.suspended) standing = await stored();
      await eventually("the revision of it", () => before.revision === standing.revision);
      await before.stop();

      tell(first, active, 3n);
      while (standing.suspended) standing = await stored();
      const after = second.watch(a, before);
      await eventually("its peer again", () => after.peers.length === 1);
      assert.deepEqual(after.peers, [b]);
    });

    it("does not open for a worker that has not heard, nor for a row that somebody changed back", async () => {
      const [first, second] = workers;
      assert.ok(first && second);
      const a = await newNode();
      await newNode();
      tell(first, suspended, 2n);
      const view = first.watch(a);
      await eventually("its map", () => view.fullMaps > 0);
      const unheard = second.watch(a);
      await eventually("its map from a worker that knows only the row", () => unheard.fullMaps > 0);
      assert.deepEqual([view.peers, unheard.peers], [[], []]);

      await under.store.database("netmap").tenant(world.tenantId, async (tx) => {
        await tx.update(maps).set({ suspended: false, revision: (await readMap(tx, world)).revision + 1n });
      });
      await eventually("the next revision", () => view.revision > unheard.revision || view.fullMaps > 1);
      assert.deepEqual(view.peers, []);
    });
  });
});
