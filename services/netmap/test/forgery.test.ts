import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { ObjectKind, RemovalSchema } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { KeyRole, PolicyManifestSchema, RuleRecordSchema, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { NodeEndpointSchema } from "@cloudvlan/gen/entity/v1/node_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import type { NodeId } from "@cloudvlan/kit/ids";
import { newSigningSeed, signingKeyFromSeed, signRecord } from "@cloudvlan/kit/sign";
import { and, eq } from "drizzle-orm";
import { type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import { hintOf } from "../domain/endpoints.ts";
import { KIND } from "../domain/record.ts";
import { endpoints, logs, maps, records } from "../schema.ts";
import { any, ruleRecord } from "./records.ts";
import { eventually, makeWorld, type Worker, type World } from "./world.ts";

const open = { name: "open", sources: [any()], destinations: [any()] };

describe("whoever can write tables but has no key", () => {
  withStores((under: StoreUnderTest) => {
    let world: World;
    let worker: Worker;
    let node: NodeId;
    beforeEach(async () => {
      world = await makeWorld(under.store);
      worker = world.worker(under.store);
      node = world.newNode();
      await world.putNodes({ nodeId: node, tags: ["client"] });
      await world.putPolicy(open);
    });
    afterEach(async () => {
      await worker.stop();
      world.dispose();
    });

    const write = (work: (tx: Tx) => Promise<unknown>) => under.store.database("netmap").tenant(world.tenantId, work);
    const ours = () => and(eq(records.tenantId, world.tenantId), eq(records.cvlanId, world.cvlanId));

    it("adds no node by a source's stream", async () => {
      const view = worker.watch(node);
      await eventually("the rule", () => view.rules.size === 1);
      const stranger = signingKeyFromSeed(world.enrolKey.keyId, newSigningSeed());
      const misled = { ...world.enrolKey, keyId: world.policyKey.keyId };
      const forged: [string, Parameters<World["signNode"]>[1]][] = [
        ["BAD_SIGNATURE", { address: "10.9.0.1", revision: 1n, key: stranger }],
        ["WRONG_ROLE", { address: "10.9.0.2", revision: 1n, key: world.policyKey }],
        ["WRONG_ROLE", { address: "10.9.0.3", revision: 1n, key: misled }],
        ["WRONG_TENANT", { address: "10.9.0.4", revision: 1n, tenantId: "tenant_other" }],
        ["WRONG_CVLAN", { address: "10.9.0.5", revision: 1n, cvlanId: "cvlan_other" }],
        ["UNKNOWN_KEY", { address: "10.9.0.6", revision: 1n, key: { ...world.enrolKey, keyId: "key_unknown" } }],
      ];
      for (const [, init] of forged) {
        const id = world.newNode();
        await world.inject("registry", id, { case: "node", value: world.signNode(id, init) });
      }
      const swapped = world.newNode();
      await world.inject("registry", swapped, {
        case: "node",
        value: world.signNode(node, { address: "10.9.0.7", revision: 9n }),
      });
      await world.inject("registry", "node_garbage", { case: "node", value: new Uint8Array([1, 2, 3]) });
      const honest = world.newNode();
      await world.putNodes({ nodeId: honest });
      await eventually("the honest node", () => view.nodes.has(honest));
      assert.deepEqual(view.peers, [honest]);
      assert.deepEqual(
        worker.said.map(({ fields }) => fields["reason"]),
        [...forged.map(([reason]) => reason), "WRONG_OBJECT", "MALFORMED"],
      );
    });

    it("hides no node for long by moving the cursor past what registry has", async () => {
      const view = worker.watch(node);
      await eventually("the rule", () => view.rules.size === 1);
      await worker.stop();
      await write((tx) => tx.update(maps).set({ registryCursor: 1_000n }).where(eq(maps.cvlanId, world.cvlanId)));
      const hidden = world.newNode();
      await world.putNodes({ nodeId: hidden });
      worker = world.worker(under.store);
      const later = worker.watch(node);
      await eventually("the node that came meanwhile", () => later.nodes.has(hidden));
    });

    it("has no endpoints of one node passed on for another, and no garbage", async () => {
      const [peer, spoofed] = [world.newNode(), world.newNode()];
      await world.putNodes({ nodeId: peer }, { nodeId: spoofed });
      const at = create(NodeEndpointSchema, { address: "192.0.2.1", port: 1 });
      const scope = { tenantId: world.tenantId, cvlanId: world.cvlanId, expiresAt: new Date(Date.now() + 3_600_000) };
      for (const [sequence, hint] of [
        hintOf(spoofed, [at]),
        new Uint8Array(9_000_000),
        new Uint8Array([255]),
      ].entries()) {
        const row = { ...scope, nodeId: sequence === 0 ? peer : world.newNode(), sequence: BigInt(sequence + 1), hint };
        await write((tx) => tx.insert(endpoints).values(row));
      }
      const view = worker.watch(node);
      await eventually("the map", () => view.nodes.has(peer));
      assert.equal(view.hints.size, 0);
      assert.equal(worker.said.filter(({ message }) => message.startsWith("stored endpoints")).length, 3);
    });

    it("brings no removed node back, and no older record of one", async () => {
      const peer = world.newNode();
      const view = worker.watch(node);
      await world.putNodes({ nodeId: peer });
      await world.putNodes({ nodeId: peer, tags: ["x"] });
      await eventually("the newer record", () => view.nodes.get(peer)?.recordRevision === 2n);
      await world.inject("registry", peer, {
        case: "node",
        value: world.signNode(peer, { address: "10.9.0.1", revision: 1n }),
      });
      await eventually("the refusal", () => worker.said.length === 1);
      await world.removeNode(peer);
      await eventually("the removal", () => !view.nodes.has(peer));
      await world.inject("registry", peer, {
        case: "node",
        value: world.signNode(peer, { address: "10.9.0.1", revision: 3n }),
      });
      await eventually("the refusal", () => worker.said.length === 2);
      assert.deepEqual(view.peers, []);
    });

    it("adds no rule, takes none away, and puts none back by policy's stream", async () => {
      const peer = world.newNode();
      await world.putNodes({ nodeId: peer });
      await world.putPolicy(open, { name: "no", deny: true, sources: [any()], destinations: [any()] });
      const view = worker.watch(node);
      await eventually("two rules", () => view.rules.size === 2);
      assert.deepEqual(view.peers, []);
      const scope = { tenantId: world.tenantId, cvlanId: world.cvlanId };
      const rule = ruleRecord({ ...scope, name: "mine", sources: [any()], destinations: [any()], version: 9n });
      const stranger = signingKeyFromSeed(world.policyKey.keyId, newSigningSeed());
      const signed = signRecord(stranger, "rule", toBinary(RuleRecordSchema, rule));
      const objectId = (name: string) =>
        `rule_${Buffer.from(ruleRecord({ ...scope, ...open, name }).ruleId).toString("hex")}`;
      await world.inject("policy", objectId("mine"), { case: "rule", value: toBinary(SignedSchema, signed) });
      await world.inject("policy", objectId("no"), {
        case: "removal",
        value: create(RemovalSchema, { kind: ObjectKind.RULE }),
      });
      const manifest = create(PolicyManifestSchema, { ...scope, policyVersion: 9n, rules: 0 });
      const lie = signRecord(stranger, "manifest", toBinary(PolicyManifestSchema, manifest));
      await world.inject("policy", "manifest", { case: "manifest", value: toBinary(SignedSchema, lie) });
      await eventually("both refusals", () => worker.said.length >= 2);
      await eventually("some heads", () => view.emptySteps > 3);
      assert.deepEqual(view.ruleNames, ["no", "open"]);
      assert.deepEqual(view.peers, []);
    });

    it("adds and changes nothing by netmap's own tables", async () => {
      const peer = world.newNode();
      await world.putNodes({ nodeId: peer });
      await world.putPolicy(open, { name: "no", deny: true, sources: [any()], destinations: [any()] });
      const view = worker.watch(node);
      await eventually("two rules", () => view.rules.size === 2);
      const ghost = world.newNode();
      const stranger = signingKeyFromSeed(world.enrolKey.keyId, newSigningSeed());
      const forged = world.signNode(ghost, { address: "10.9.0.1", revision: 1n, key: stranger });
      const scope = { tenantId: world.tenantId, cvlanId: world.cvlanId };
      const kind = KIND.node;
      await write(async (tx) => {
        await tx
          .insert(records)
          .values({ ...scope, objectId: ghost, kind, signed: forged, version: 1n, removed: false });
        await tx.delete(records).where(and(ours(), eq(records.objectId, ruleObject("no"))));
        const [map] = await tx.select().from(maps);
        assert(map);
        const revision = map.revision + 1n;
        const none = new Uint8Array();
        const row = {
          ...scope,
          revision,
          ordinal: 0,
          entries: 1,
          objectId: ghost,
          kind,
          before: none,
          after: forged,
          seal: none,
        };
        await tx.insert(logs).values(row);
        await tx.update(maps).set({ revision });
      });
      const other = world.newNode();
      await world.putNodes({ nodeId: other });
      await eventually("a full map, read anew", () => view.fullMaps === 2);
      const fresh = world.worker(under.store);
      try {
        const second = fresh.watch(other);
        await eventually("the rules are whole again", () => second.rules.size === 2);
        assert.deepEqual(second.peers, []);
        await eventually("also here", () => view.rules.size === 2);
        assert.deepEqual(view.peers, []);
        assert(!view.nodes.has(ghost));
      } finally {
        await fresh.stop();
      }
    });

    function ruleObject(name: string): string {
      return `rule_${Buffer.from(ruleRecord({ ...open, name }).ruleId).toString("hex")}`;
    }

    it("delegates no key", async () => {
      const view = worker.watch(node);
      await eventually("the rule", () => view.rules.size === 1);
      const seed = newSigningSeed();
      const keyId = await world.delegate(KeyRole.ENROL, signingKeyFromSeed("", seed).publicKey);
      const late = world.newNode();
      const key = signingKeyFromSeed(keyId, seed);
      await world.inject("registry", late, {
        case: "node",
        value: world.signNode(late, { address: "10.9.0.1", revision: 1n, key }),
      });
      await eventually("a key that the root delegated is another matter", () => view.nodes.has(late));
      assert.deepEqual(worker.said, []);
    });
  });
});
