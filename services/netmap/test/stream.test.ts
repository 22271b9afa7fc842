import assert from "node:assert/strict";
import { Refusal } from "@cloudvlan/kit/errors";
import type { NodeId } from "@cloudvlan/kit/ids";
import { type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import type { Mirror } from "./mirror.ts";
import { tagged } from "./records.ts";
import { eventually, makeWorld, type Worker, type World } from "./world.ts";

const allow = (name: string, from: string, to: string) => ({
  name,
  sources: [tagged(from)],
  destinations: [tagged(to)],
});

describe("the map stream", () => {
  withStores((under: StoreUnderTest) => {
    let world: World;
    let worker: Worker;
    beforeEach(async () => {
      world = await makeWorld(under.store);
      worker = world.worker(under.store);
    });
    afterEach(async () => {
      await worker.stop();
      world.dispose();
    });

    /** A client, a server and somebody unconcerned. */
    async function three(): Promise<[NodeId, NodeId, NodeId]> {
      const [a, b, c] = [world.newNode(), world.newNode(), world.newNode()];
      await world.putNodes(
        { nodeId: a, tags: ["client"] },
        { nodeId: b, tags: ["server"] },
        { nodeId: c, tags: ["other"] },
      );
      return [a, b, c];
    }

    it("ends the oldest when a node opens one after another", async () => {
      const [a] = await three();
      const views: Mirror[] = [];
      for (let opened = 0; opened < 6; opened++) {
        const view = worker.watch(a);
        views.push(view);
        await eventually("its map", () => view.fullMaps === 1);
      }
      await eventually("the end of the first two", () => views.slice(0, 2).every(({ error }) => error !== undefined));
      const [first] = views;
      assert.ok(first?.error instanceof Refusal && first.error.reason === "TOO_MANY_STREAMS");
      assert.ok(views.slice(2).every(({ error }) => error === undefined));
    });

    it("opens with a full map, then says what changes, to those it concerns", async () => {
      const [a, b, c] = await three();
      await world.putPolicy(allow("web", "client", "server"));
      const [viewA, viewB, viewC] = [worker.watch(a), worker.watch(b), worker.watch(c)];
      await eventually("first maps", () => viewA.fullMaps + viewB.fullMaps + viewC.fullMaps === 3);
      await eventually("the policy", () => viewA.peers.length === 1 && viewB.peers.length === 1);
      assert.deepEqual(viewA.peers, [b]);
      assert.deepEqual(viewB.peers, [a]);
      assert.deepEqual(viewC.peers, []);
      assert.deepEqual([viewA.ruleNames, viewB.ruleNames, viewC.ruleNames], [["web"], ["web"], []]);

      const untouched = viewC.steps;
      const d = world.newNode();
      await world.putNodes({ nodeId: d, tags: ["server"] });
      await eventually("the new server", () => viewA.nodes.has(d));
      await world.removeNode(b);
      await eventually("the server is gone", () => !viewA.nodes.has(b));
      await world.putNodes({ nodeId: d, tags: [] });
      await eventually("no server any more", () => viewA.peers.length === 0);
      await eventually("a head", () => viewC.revision === viewA.revision);
      assert.equal(viewC.steps, untouched, "the unconcerned node was told something");
      assert.equal(viewA.fullMaps, 1);
      assert.deepEqual(worker.said, []);
    });

    it("acts on a policy at once and whole, in both directions", async () => {
      const [a, b, c] = await three();
      const view = worker.watch(a);
      await eventually("first map", () => view.fullMaps === 1);
      assert.deepEqual(view.peers, []);
      await world.putPolicy(allow("web", "client", "server"), allow("back", "other", "client"));
      await eventually("both rules", () => view.rules.size === 2);
      assert.deepEqual(view.peers, [b, c].sort());
      await world.putPolicy(allow("web", "client", "server"), allow("back", "other", "client"), {
        ...allow("no", "client", "server"),
        deny: true,
      });
      await eventually("the deny", () => view.rules.size === 3);
      assert.deepEqual(view.peers, [c]);
      await world.putPolicy(allow("back", "other", "client"));
      await eventually("the rest", () => view.rules.size === 1);
      assert.deepEqual(view.peers, [c]);
      await world.putPolicy();
      await eventually("nothing", () => view.rules.size === 0);
      assert.deepEqual(view.peers, []);
    });

    it("heads come without changes, each newer than the last", async () => {
      const [a] = await three();
      const view = worker.watch(a);
      await eventually("first map", () => view.fullMaps === 1);
      const first = view.head?.issuedAt;
      await eventually("three heads", () => view.emptySteps >= 3);
      assert.notDeepEqual(view.head?.issuedAt, first);
      assert.equal(view.steps, 1);
      assert.equal(view.continuedHeads, view.emptySteps, "a viewer that asks for it gets what is new of a head");
    });

    it("resumes exactly from where the node stands, and fully when that cannot be told", async () => {
      const [a, b, c] = await three();
      await world.putPolicy(allow("web", "client", "server"));
      const view = worker.watch(a);
      await eventually("the server", () => view.nodes.has(b));
      await view.stop();
      const d = world.newNode();
      await world.putNodes({ nodeId: d, tags: ["server"] });
      await world.putNodes({ nodeId: b, tags: [] });
      await world.putNodes({ nodeId: c, tags: ["other", "more"] });
      const resumed = worker.watch(a, view);
      await eventually("the delta", () => resumed.nodes.has(d) && !resumed.nodes.has(b));
      assert.equal(resumed.fullMaps, 0);
      assert.deepEqual(resumed.peers, [d]);
      await resumed.stop();

      await world.putPolicy(allow("web", "client", "server"), allow("all", "client", "other"));
      const afterRules = worker.watch(a, resumed);
      await eventually("the new rule", () => afterRules.nodes.has(c));
      assert.deepEqual(afterRules.peers, [c, d].sort());
      await afterRules.stop();

      afterRules.epoch = 7n;
      const otherEpoch = worker.watch(a, afterRules);
      await eventually("a full map", () => otherEpoch.error !== undefined || otherEpoch.fullMaps === 1);
      assert.equal(otherEpoch.error, undefined);
      assert.deepEqual(otherEpoch.peers, [c, d].sort());
    });

    it("gives a full map to whom the log does not reach back to", async () => {
      const short = world.worker(under.store, { log_revisions: 2 });
      try {
        const [a] = await three();
        await world.putPolicy(allow("web", "client", "server"));
        const view = short.watch(a);
        await eventually("the server", () => view.peers.length === 1);
        await view.stop();
        const other = short.watch(a);
        for (let n = 0; n < 8; n++) {
          const nodeId = world.newNode();
          await world.putNodes({ nodeId, tags: ["server"] });
          await eventually("one more", () => other.nodes.has(nodeId));
        }
        const resumed = short.watch(a, view);
        await eventually("nine servers again", () => resumed.peers.length === 9);
        assert.equal(resumed.fullMaps, 1);
      } finally {
        await short.stop();
      }
    });

    it("ends the stream of a node that is removed, and lets it in no more", async () => {
      const [a, b] = await three();
      const view = worker.watch(a);
      await eventually("first map", () => view.fullMaps === 1);
      await world.removeNode(a);
      await eventually("the end", () => view.error !== undefined);
      assert(view.error instanceof Refusal);
      assert.equal(view.error.reason, "NODE_REVOKED");
      const again = worker.watch(a, view);
      await eventually("the refusal", () => again.error !== undefined);
      assert(again.error instanceof Refusal);
      assert.equal(again.error.kind, "denied");
      const other = worker.watch(b);
      await eventually("the others go on", () => other.fullMaps === 1);
    });

    it("pushes a newer keyset", async () => {
      const [a] = await three();
      const view = worker.watch(a);
      await eventually("first map", () => view.fullMaps === 1);
      const before = view.keyset?.version ?? 0n;
      await world.delegate(1, new Uint8Array(32).fill(7));
      await eventually("the keyset", () => (view.keyset?.version ?? 0n) > before);
    });

    it("leads viewers from the root key they pinned to the present one, also those that were away", async () => {
      const [a, b] = await three();
      const [view, away] = [worker.watch(a), worker.watch(b)];
      await eventually("first maps", () => view.fullMaps === 1 && away.fullMaps === 1);
      await away.stop();
      const before = view.keyset?.version ?? 0n;
      for (const turn of [1n, 2n, 3n]) {
        await world.rotateRoot();
        await eventually("the keyset of the new root", () => view.keyset?.version === before + turn);
      }
      assert.equal(view.error, undefined);
      const back = worker.watch(b, away);
      await eventually("three rotations at once", () => back.keyset?.version === before + 3n);
      assert.equal(back.fullMaps, 0, "a rotation is no reason for a full map");
      const late = worker.watch(a);
      await eventually("a first map with the whole chain", () => late.fullMaps === 1);
      assert.deepEqual([view.error, back.error, late.error], [undefined, undefined, undefined]);
      assert.deepEqual(worker.said, []);
    });

    it("cuts a large map into frames that count only together", async () => {
      const a = world.newNode();
      await world.putNodes({ nodeId: a, tags: ["client"] });
      const servers = Array.from({ length: 1500 }, () => ({ nodeId: world.newNode(), tags: ["server"] }));
      await world.putNodes(...servers);
      await world.putPolicy(allow("web", "client", "server"));
      const view = worker.watch(a);
      await eventually("all servers", () => view.peers.length === servers.length || view.error !== undefined);
      assert.equal(view.error, undefined);
      await view.stop();
      const again = worker.watch(a);
      await eventually("all servers at once", () => again.fullMaps === 1);
      assert.equal(again.peers.length, servers.length);
      assert(again.frames > 1);
    });

    it("owes a lagging reader a set, not a queue, and cuts it past the bound", async () => {
      const bounded = world.worker(under.store, { pending_objects: 16 });
      try {
        const [a, b] = await three();
        await world.putPolicy(allow("web", "client", "server"));
        const [slow, brisk] = [bounded.watch(a), bounded.watch(a)];
        await eventually("the server", () => slow.nodes.has(b) && brisk.nodes.has(b));
        const gate = Promise.withResolvers<void>();
        slow.pause = gate.promise;
        await eventually("the reader stands still", () => brisk.emptySteps > slow.emptySteps + 1);
        const steps = slow.steps;
        for (let n = 0; n < 10; n++) {
          await world.putNodes({ nodeId: b, tags: ["server", `n${n}`] });
          await eventually("the brisk reader", () => brisk.nodes.get(b)?.recordRevision === BigInt(n + 2));
        }
        gate.resolve();
        await eventually("the last record", () => slow.nodes.get(b)?.recordRevision === 11n);
        assert.equal(slow.steps, steps + 1, "one step for ten changes");
        assert.equal(brisk.steps, steps + 10);

        const shut = Promise.withResolvers<void>();
        slow.pause = shut.promise;
        await eventually("the reader stands still again", () => brisk.emptySteps > slow.emptySteps + 1);
        for (let n = 0; n < 20; n++) {
          const nodeId = world.newNode();
          await world.putNodes({ nodeId, tags: ["server"] });
          await eventually("one more", () => brisk.nodes.has(nodeId));
        }
        shut.resolve();
        await eventually("the cut", () => slow.error !== undefined);
        assert(slow.error instanceof Refusal);
        assert.equal(slow.error.kind, "exhausted");
        const resumed = bounded.watch(a, slow);
        await eventually("all of them", () => resumed.peers.length === 21);
      } finally {
        await bounded.stop();
      }
    });
  });
});
