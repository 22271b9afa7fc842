import assert from "node:assert/strict";
import { CvlanService, EnrollmentService, GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { withStores } from "@cloudvlan/kit/testing";
import { joinTokens } from "../schema.ts";
import {
  audited,
  joinAs,
  newMachine,
  newNode,
  newPlace,
  newToken,
  refusalOf,
  type RegistryUnderTest,
  registryOf,
  startRegistry,
  streamOf,
  tamper,
} from "./harness.ts";

describe("somebody who can write registry's tables and has no key", () => {
  withStores((stores) => {
    let under: RegistryUnderTest;
    before(async () => {
      under = await startRegistry(stores.store);
    });
    after(() => under[Symbol.dispose]());
    beforeEach(() => under.errors.splice(0));

    for (const change of [
      `name = 'evil'`,
      `tags = '{"role":"admin"}'`,
      `routes = '{10.9.0.0/16}'`,
      `host = 99`,
      `wireguard_public_key = decode(repeat('ab', 32), 'hex')`,
      `record = decode('00', 'hex')`,
      `record_revision = 7`,
      `kind = 3`,
    ]) {
      it(`makes a node disappear and no other record by: ${change}`, async () => {
        const place = await newPlace(under);
        const node = await newNode(under, place);
        const { tenantId } = place;
        await tamper(under, tenantId, `update node set ${change} where id = '${node.id}'`);
        const update = under.as(NodeService).updateNode({ tenantId, nodeId: node.id, tags: { tags: { a: "b" } } });
        assert.deepEqual([(await refusalOf(update)).kind], ["not_found"]);
        assert.equal((await streamOf(under, place)).get(node.id)?.recordRevision, 1n);
        assert.deepEqual((await under.as(NodeService).listNodes(place)).nodes, []);
        assert.ok(under.errors.length > 0);
      });
    }

    it("cannot give a revoked node its life back", async () => {
      const place = await newPlace(under);
      const { tenantId } = place;
      const token = await newToken(under, place);
      const machine = newMachine();
      const { node } = await joinAs(under, token, machine);
      await under.as(NodeService).revokeNode({ tenantId, nodeId: node?.id ?? "" });
      await tamper(under, tenantId, `update node set status = 2, revoked_at = null where id = '${node?.id}'`);
      assert.equal((await refusalOf(joinAs(under, token, machine))).kind, "not_found");
    });

    it("cannot make or widen a join token, nor use one again", async () => {
      const place = await newPlace(under);
      const { tenantId } = place;
      const token = await newToken(under, place);
      await joinAs(under, token);
      await tamper(
        under,
        tenantId,
        `update join_token set used_by = null, node_id = null where id = '${token.tokenId}'`,
      );
      assert.equal((await refusalOf(joinAs(under, token))).reason, "TOKEN_REFUSED");
      assert.equal((await audited(under, tenantId, token.tokenId)).at(-1), "TOKEN_SEAL_BROKEN");
      const wide = await newToken(under, place);
      await tamper(under, tenantId, `update join_token set tags = '{"role":"admin"}' where id = '${wide.tokenId}'`);
      assert.equal((await refusalOf(joinAs(under, wide))).reason, "TOKEN_REFUSED");
      const revoked = await newToken(under, place);
      await under.as(EnrollmentService).revokeJoinToken({ tenantId, tokenId: revoked.tokenId });
      await tamper(under, tenantId, `update join_token set revoked_at = null where id = '${revoked.tokenId}'`);
      assert.equal((await refusalOf(joinAs(under, revoked))).reason, "TOKEN_REFUSED");
    });

    it("cannot put a token's earlier, unused row back to let a second machine in", async () => {
      const place = await newPlace(under);
      const { tenantId } = place;
      const token = await newToken(under, place);
      const [unused] = await under.db.tenant(tenantId, (tx) => tx.select().from(joinTokens));
      assert.ok(unused);
      const { node } = await joinAs(under, token);
      await under.db.tenant(tenantId, (tx) => tx.update(joinTokens).set(unused));
      assert.equal((await refusalOf(joinAs(under, token))).reason, "TOKEN_REFUSED");
      assert.equal((await audited(under, tenantId, token.tokenId)).at(-1), "TOKEN_USED");
      assert.deepEqual([...(await streamOf(under, place)).keys()], [node?.id]);
    });

    it("cannot put a node into a group", async () => {
      const place = await newPlace(under);
      const { tenantId } = place;
      const { group } = await under.as(GroupService).createGroup({ ...place, name: "admins" });
      const node = await newNode(under, place);
      await tamper(
        under,
        tenantId,
        `insert into group_member (tenant_id, group_id, node_id, seal) values ('${tenantId}', '${group?.id}', '${node.id}', decode(repeat('00', 32), 'hex'))`,
      );
      await under.as(NodeService).updateNode({ tenantId, nodeId: node.id, name: "renamed" });
      assert.deepEqual((await streamOf(under, place)).get(node.id)?.selectors, []);
      assert.deepEqual((await under.as(NodeService).getNode({ tenantId, nodeId: node.id })).node?.groupIds, []);
    });

    it("cannot have a policy mean another group", async () => {
      const place = await newPlace(under);
      const { tenantId } = place;
      const { group } = await under.as(GroupService).createGroup({ ...place, name: "guests" });
      await tamper(under, tenantId, `update node_group set name = 'admins' where id = '${group?.id}'`);
      const { targets } = await registryOf(under).resolveTargets({
        ...place,
        targets: [{ target: { case: "group", value: "admins" } }],
      });
      assert.equal(targets[0]?.selector, undefined);
    });

    it("cannot have addresses given out from elsewhere, or twice", async () => {
      const place = await newPlace(under, "10.50.0.0/29");
      const { tenantId, cvlanId } = place;
      await newNode(under, place);
      await tamper(under, tenantId, `update address_pool set next_host = 1 where cvlan_id = '${cvlanId}'`);
      await assert.rejects(joinAs(under, await newToken(under, place)));
      const other = await newPlace(under);
      await tamper(under, other.tenantId, `update cvlan set ipv4_pool = '8.8.8.0/24' where id = '${other.cvlanId}'`);
      assert.equal((await refusalOf(under.as(CvlanService).getCvlan(other))).kind, "not_found");
    });
  });
});

describe("addresses", () => {
  withStores((stores) => {
    let under: RegistryUnderTest;
    before(async () => {
      under = await startRegistry(stores.store, { address_quarantine_seconds: 0 });
    });
    after(() => under[Symbol.dispose]());

    it("are given out upwards, run out in words, and come back after their quarantine", async () => {
      const place = await newPlace(under, "10.60.0.0/29");
      const { tenantId } = place;
      const nodes = [];
      for (let i = 0; i < 6; i++) nodes.push(await newNode(under, place, `n${i}`));
      assert.deepEqual(
        nodes.map((node) => node.addresses[0]),
        Array.from({ length: 6 }, (_, i) => `10.60.0.${i + 1}`),
      );
      const token = await newToken(under, place);
      const refusal = await refusalOf(joinAs(under, token));
      assert.deepEqual([refusal.kind, refusal.reason], ["exhausted", "POOL_EXHAUSTED"]);
      assert.match(refusal.message, /10\.60\.0\.0\/29/);
      for (const index of [4, 1]) {
        await under.as(NodeService).revokeNode({ tenantId, nodeId: nodes[index]?.id ?? "" });
      }
      assert.equal((await joinAs(under, token)).node?.addresses[0], "10.60.0.5");
      assert.equal((await newNode(under, place)).addresses[0], "10.60.0.2");
      assert.deepEqual((await under.as(CvlanService).getCvlan(place)).stats?.ipv4Addresses?.used, 6n);
    });

    it("stay unused for the quarantine, whatever the need", async () => {
      using strict = await startRegistry(stores.store, {}, under);
      const place = await newPlace(strict, "10.61.0.0/30");
      const first = await newNode(strict, place, "a");
      await newNode(strict, place, "b");
      await strict.as(NodeService).revokeNode({ tenantId: place.tenantId, nodeId: first.id });
      assert.equal((await refusalOf(joinAs(strict, await newToken(strict, place)))).reason, "POOL_EXHAUSTED");
    });
  });
});
