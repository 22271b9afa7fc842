import assert from "node:assert/strict";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { newSigningSeed, signingKeyFromSeed } from "@cloudvlan/kit/sign";
import { type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import { and, eq } from "drizzle-orm";
import { maps, records } from "../schema.ts";
import { readMap } from "../store.ts";
import type { Mirror } from "./mirror.ts";
import { eventually, makeWorld, type World } from "./world.ts";

describe("the relay map on the map stream", () => {
  withStores((under: StoreUnderTest) => {
    let world: World;
    beforeEach(async () => {
      world = await makeWorld(under.store);
    });
    afterEach(() => world.dispose());

    const db = () => under.store.database("netmap");
    const map = () => db().tenant(world.tenantId, (tx) => readMap(tx, world));
    const serversOf = ({ relayMap }: Mirror) => relayMap?.servers.map(({ id }) => id);
    const knows = (view: Mirror, server: string) =>
      eventually(`the map with ${server}`, () => serversOf(view)?.join() === server);

    it("comes with the first step and when it changed, to every node, whoever it sees, beside the DNS record", async () => {
      const [first, second] = [world.worker(under.store), world.worker(await under.openAgain())];
      const [a, b] = [world.newNode(), world.newNode()];
      await world.putDns("one.internal", 1n);
      await world.putRelayMap("one", 1n);
      await world.putNodes({ nodeId: a, tags: ["client"] }, { nodeId: b, tags: ["alone"] });
      const views = [first.watch(a), second.watch(b)];
      for (const view of views) await knows(view, "one");
      const { revision } = await map();
      await world.putRelayMap("two", 2n);
      for (const view of views) await knows(view, "two");
      assert.equal((await map()).revision, revision, "a node that is away resumes from where it stands");
      await world.putDns("two.internal", 2n);
      await eventually("the new domain", () => views.every(({ dns }) => dns?.domain === "two.internal"));
      for (const { relayMaps, dnsRecords, fullMaps, error } of views) {
        assert.deepEqual([relayMaps, dnsRecords, fullMaps, error], [2, 2, 1, undefined]);
      }
      assert.deepEqual([...first.said, ...second.said], []);
      await first.stop();
      await second.stop();
    });

    it("is nothing before the platform had its first server", async () => {
      const worker = world.worker(under.store);
      const node = world.newNode();
      await world.putDns("one.internal", 1n);
      await world.putNodes({ nodeId: node });
      const view = worker.watch(node);
      await eventually("a map", () => view.dns !== undefined);
      assert.deepEqual([view.relayMaps, view.error], [0, undefined]);
      await world.putRelayMap("one", 1n);
      await knows(view, "one");
      await worker.stop();
    });

    it("changed while the node was away, and is read from the tables by a worker that starts", async () => {
      const first = world.worker(under.store);
      const node = world.newNode();
      await world.putRelayMap("one", 1n);
      await world.putNodes({ nodeId: node });
      const view = first.watch(node);
      await knows(view, "one");
      const other = first.watch(node);
      await view.stop();
      await world.putRelayMap("two", 2n);
      await knows(other, "two");
      await first.stop();
      const second = world.worker(under.store);
      const back = second.watch(node, view);
      await knows(back, "two");
      assert.deepEqual([back.fullMaps, back.error], [0, undefined]);
      await second.stop();
    });

    it("is read although a worker of the former version moved the cursor past it, each time it does", async () => {
      const node = world.newNode();
      await world.putDns("one.internal", 1n);
      await world.putSettings({});
      await world.putNodes({ nodeId: node });
      const first = world.worker(under.store);
      let view = first.watch(node);
      await eventually("a map", () => view.dns !== undefined);
      await first.stop();
      for (const revision of [1n, 2n]) {
        const { relayMapCursor: understood, relayMapRevision: known } = await map();
        await world.putRelayMap(`server${revision}`, revision);
        const other = world.newNode();
        await world.putNodes({ nodeId: other });
        const former = world.worker(under.store);
        const before = former.watch(other);
        await eventually("a map", () => before.relayMaps > 0);
        await former.stop();
        // What a worker that knows of no relay maps leaves.
        await db().tenant(world.tenantId, async (tx) => {
          const ofMap = and(eq(records.tenantId, world.tenantId), eq(records.objectId, "relay_map"));
          await tx.delete(records).where(ofMap);
          await tx
            .update(maps)
            .set({ relayMapRevision: known, relayMapCursor: understood })
            .where(eq(maps.tenantId, world.tenantId));
        });
        const worker = world.worker(under.store);
        view = worker.watch(node, view);
        await knows(view, `server${revision}`);
        assert.deepEqual([view.fullMaps, view.error], [0, undefined]);
        const { registryCursor, relayMapCursor } = await map();
        assert.equal(relayMapCursor, registryCursor);
        await worker.stop();
      }
    });

    it("is not taken when it is older, of another cvlan, or signed by another key", async () => {
      const worker = world.worker(under.store);
      const node = world.newNode();
      await world.putRelayMap("one", 5n);
      await world.putNodes({ nodeId: node });
      const view = worker.watch(node);
      await knows(view, "one");
      const stranger = signingKeyFromSeed(world.enrolKey.keyId, newSigningSeed());
      const forged: [string | undefined, Parameters<World["putRelayMap"]>][] = [
        [undefined, ["older", 4n]],
        [undefined, ["same", 5n]],
        ["WRONG_ROLE", ["evil", 6n, world.policyKey]],
        ["BAD_SIGNATURE", ["evil", 6n, stranger]],
        ["WRONG_CVLAN", ["evil", 6n, world.enrolKey, "cvlan_other"]],
        ["TOO_LARGE", ["e".repeat(40_000), 6n]],
      ];
      for (const [reason, given] of forged) {
        const said = worker.said.length;
        await world.putRelayMap(...given);
        await eventually(`the refusal at ${given[1]}: ${reason}`, () => worker.said.length > said);
        assert.deepEqual([worker.said[said]?.level, worker.said[said]?.fields["reason"]], ["error", reason]);
      }
      await world.putRelayMap("last", 6n);
      await knows(view, "last");
      assert.deepEqual([view.relayMaps, view.error], [2, undefined]);
      await worker.stop();
    });

    it("waits for the keyset that has the key it was signed anew with", async () => {
      const worker = world.worker(under.store);
      const node = world.newNode();
      await world.putRelayMap("one", 1n);
      await world.putNodes({ nodeId: node });
      const view = worker.watch(node);
      await knows(view, "one");
      const seed = newSigningSeed();
      const next = signingKeyFromSeed(
        await world.delegate(KeyRole.ENROL, signingKeyFromSeed("", seed).publicKey),
        seed,
      );
      await world.putRelayMap("two", 2n, next);
      await knows(view, "two");
      assert.equal(view.error, undefined);
      await worker.stop();
    });

    it("is left out when a row of the tables was changed, and the DNS record is not", async () => {
      const first = world.worker(under.store);
      const node = world.newNode();
      await world.putDns("one.internal", 1n);
      await world.putRelayMap("one", 1n);
      await world.putNodes({ nodeId: node });
      const view = first.watch(node);
      await knows(view, "one");
      await first.stop();
      await db().tenant(world.tenantId, (tx) =>
        tx
          .update(records)
          .set({ signed: new Uint8Array([1, 2, 3]) })
          .where(eq(records.objectId, "relay_map")),
      );
      const second = world.worker(under.store);
      const blind = second.watch(node);
      await eventually("a map", () => blind.fullMaps === 1);
      assert.deepEqual([blind.relayMap, blind.dns?.domain, blind.error], [undefined, "one.internal", undefined]);
      assert.ok(second.said.some(({ message }) => message.includes("does not verify")));
      await second.stop();
    });
  });
});
