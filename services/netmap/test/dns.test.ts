import assert from "node:assert/strict";
import { newSigningSeed, signingKeyFromSeed } from "@cloudvlan/kit/sign";
import { type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import { and, eq } from "drizzle-orm";
import { maps, records } from "../schema.ts";
import { readMap } from "../store.ts";
import { tagged } from "./records.ts";
import { eventually, makeWorld, type World } from "./world.ts";

describe("the DNS record on the map stream", () => {
  withStores((under: StoreUnderTest) => {
    let world: World;
    beforeEach(async () => {
      world = await makeWorld(under.store);
    });
    afterEach(() => world.dispose());

    const db = () => under.store.database("netmap");
    const map = () => db().tenant(world.tenantId, (tx) => readMap(tx, world));

    it("comes with the first step and when it changed, to every node, whoever it sees", async () => {
      const [first, second] = [world.worker(under.store), world.worker(await under.openAgain())];
      const [a, b] = [world.newNode(), world.newNode()];
      await world.putDns("one.internal", 1n);
      await world.putNodes({ nodeId: a, tags: ["client"] }, { nodeId: b, tags: ["alone"] });
      const views = [first.watch(a), second.watch(b)];
      await eventually("the domain", () => views.every(({ dns }) => dns?.domain === "one.internal"));
      const { revision } = await map();
      await world.putDns("two.internal", 2n);
      await eventually("the new one", () => views.every(({ dns }) => dns?.domain === "two.internal"));
      assert.equal((await map()).revision, revision, "a node that is away resumes from where it stands");
      await world.putNodes({ nodeId: a, tags: ["server"] });
      await world.putPolicy({ name: "any", sources: [tagged("server")], destinations: [tagged("alone")] });
      await eventually("the pair", () => views.every(({ peers }) => peers.length === 1));
      assert.deepEqual(
        views.map(({ dnsRecords, fullMaps, error }) => [dnsRecords, fullMaps, error]),
        [
          [2, 1, undefined],
          [2, 1, undefined],
        ],
      );
      assert.deepEqual([...first.said, ...second.said], []);
      await first.stop();
      await second.stop();
    });

    it("changed while the node was away, and is read from the tables by a worker that starts", async () => {
      const first = world.worker(under.store);
      const node = world.newNode();
      await world.putDns("one.internal", 1n);
      await world.putNodes({ nodeId: node });
      const view = first.watch(node);
      await eventually("the domain", () => view.dns?.domain === "one.internal");
      const other = first.watch(node);
      await view.stop();
      await world.putDns("two.internal", 2n);
      await eventually("the new one in the tables", () => other.dns?.domain === "two.internal");
      await first.stop();
      const second = world.worker(under.store);
      const back = second.watch(node, view);
      await eventually("the new one", () => back.dns?.domain === "two.internal");
      assert.deepEqual([back.fullMaps, back.error], [0, undefined]);
      await second.stop();
    });

    it("is read although a worker of the former version moved the cursor past it", async () => {
      const node = world.newNode();
      await world.putDns("one.internal", 1n);
      await world.putNodes({ nodeId: node });
      const former = world.worker(under.store);
      const before = former.watch(node);
      await eventually("a map", () => before.dns !== undefined);
      await former.stop();
      await db().tenant(world.tenantId, async (tx) => {
        await tx.delete(records).where(and(eq(records.tenantId, world.tenantId), eq(records.objectId, "dns")));
        await tx.update(maps).set({ dnsRevision: 0n }).where(eq(maps.tenantId, world.tenantId));
      });
      const worker = world.worker(under.store);
      const view = worker.watch(node, before);
      await eventually("the record", () => view.dnsRecords === 1);
      assert.deepEqual([view.fullMaps, view.error], [0, undefined]);
      await worker.stop();
    });

    it("is not taken when it is older, of another cvlan, or signed by another key", async () => {
      const worker = world.worker(under.store);
      const node = world.newNode();
      await world.putDns("one.internal", 5n);
      await world.putNodes({ nodeId: node });
      const view = worker.watch(node);
      await eventually("the domain", () => view.dns?.domain === "one.internal");
      const stranger = signingKeyFromSeed(world.enrolKey.keyId, newSigningSeed());
      const forged: [string | undefined, Parameters<World["putDns"]>][] = [
        [undefined, ["older.internal", 4n]],
        [undefined, ["same.internal", 5n]],
        ["WRONG_ROLE", ["evil.internal", 6n, world.policyKey]],
        ["BAD_SIGNATURE", ["evil.internal", 6n, stranger]],
        ["WRONG_CVLAN", ["evil.internal", 6n, world.enrolKey, "cvlan_other"]],
      ];
      for (const [reason, given] of forged) {
        const said = worker.said.length;
        await world.putDns(...given);
        await eventually(`the refusal of ${given[0]} at ${given[1]}`, () => worker.said.length > said);
        assert.deepEqual([worker.said[said]?.level, worker.said[said]?.fields["reason"]], ["error", reason]);
      }
      await world.putDns("last.internal", 6n);
      await eventually("the last", () => view.dns?.domain === "last.internal");
      assert.equal(view.error, undefined);
      assert.equal(view.dnsRecords, 2);
      await worker.stop();
    });

    it("is left out when a row of the tables was changed", async () => {
      const first = world.worker(under.store);
      const node = world.newNode();
      await world.putDns("one.internal", 1n);
      await world.putNodes({ nodeId: node });
      const view = first.watch(node);
      await eventually("the domain", () => view.dns !== undefined);
      await first.stop();
      await db().tenant(world.tenantId, (tx) =>
        tx
          .update(records)
          .set({ signed: new Uint8Array([1, 2, 3]) })
          .where(eq(records.objectId, "dns")),
      );
      const second = world.worker(under.store);
      const blind = second.watch(node);
      await eventually("a map", () => blind.fullMaps === 1);
      assert.deepEqual([blind.dns, blind.error], [undefined, undefined]);
      assert.ok(second.said.some(({ message }) => message.includes("does not verify")));
      await second.stop();
    });
  });
});
