import assert from "node:assert/strict";
import { CvlanService, EnrollmentService, GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import { addressPools, groupMembers, joinTokens } from "../schema.ts";
import {
  audited,
  joinAs,
  newMachine,
  newNode,
  newPlace,
  newToken,
  type Place,
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

    it("cannot get a second node out of a spent token by taking the first one's row away", async () => {
      const place = await newPlace(under);
      const { tenantId } = place;
      const token = await newToken(under, place);
      const [unused] = await under.db.tenant(tenantId, (tx) => tx.select().from(joinTokens));
      assert.ok(unused);
      const { node } = await joinAs(under, token);
      await under.db.tenant(tenantId, (tx) => tx.update(joinTokens).set(unused));
      await tamper(under, tenantId, `update node set join_token_id = 'x' where id = '${node?.id}'`);
      assert.equal((await refusalOf(joinAs(under, token))).reason, "TOKEN_REFUSED");
      await tamper(under, tenantId, `delete from node where id = '${node?.id}'`);
      await joinAs(under, token).catch(() => undefined);
      // A node takes one record of a revision: to whom knows the first one, this id is spent.
      const record = (await streamOf(under, place)).get(node?.id ?? "");
      assert.deepEqual([...(await streamOf(under, place)).keys()], [node?.id]);
      assert.equal(record?.recordRevision, 1n);
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

    describe("cannot move a node by what the next change finds in the table", () => {
      const member = (place: Place, groupId: string, nodeId: string) => ({
        tenantId: place.tenantId,
        groupId,
        nodeId,
      });
      async function newGroup(place: Place): Promise<string> {
        const { group } = await under.as(GroupService).createGroup({ ...place, name: "quarantine" });
        assert.ok(group);
        return group.id;
      }
      const groupsSigned = async (place: Place, nodeId: string): Promise<number> =>
        (await streamOf(under, place)).get(nodeId)?.selectors.length ?? 0;
      const change = async ({ tenantId }: Place, nodeId: string): Promise<void> => {
        await under.as(NodeService).updateNode({ tenantId, nodeId, name: "renamed" });
      };

      it("out of a group that denies it something", async () => {
        const place = await newPlace(under);
        const groupId = await newGroup(place);
        const { id } = await newNode(under, place);
        await under.as(GroupService).addGroupMember(member(place, groupId, id));
        await tamper(under, place.tenantId, `delete from group_member where node_id = '${id}'`);
        await change(place, id);
        assert.equal(await groupsSigned(place, id), 1);
        await under.as(GroupService).removeGroupMember(member(place, groupId, id));
        assert.equal(await groupsSigned(place, id), 0);
      });

      it("back into a group it was taken out of", async () => {
        const place = await newPlace(under);
        const groupId = await newGroup(place);
        const { id } = await newNode(under, place);
        await under.as(GroupService).addGroupMember(member(place, groupId, id));
        const former = await under.db.tenant(place.tenantId, (tx) => tx.select().from(groupMembers));
        await under.as(GroupService).removeGroupMember(member(place, groupId, id));
        await under.db.tenant(place.tenantId, (tx) => tx.insert(groupMembers).values(former));
        await change(place, id);
        assert.equal(await groupsSigned(place, id), 0);
      });

      it("past a group by a row that says it is in it already", async () => {
        const place = await newPlace(under);
        const groupId = await newGroup(place);
        const { id } = await newNode(under, place);
        const values = `'${place.tenantId}', '${groupId}', '${id}', decode(repeat('00', 32), 'hex')`;
        await tamper(under, place.tenantId, `insert into group_member values (${values})`);
        await under.as(GroupService).addGroupMember(member(place, groupId, id));
        assert.equal(await groupsSigned(place, id), 1);
        assert.deepEqual((await under.as(NodeService).getNode({ ...place, nodeId: id })).node?.groupIds, [groupId]);
      });

      it("past the groups of its token, between the halves of its join", async () => {
        const place = await newPlace(under);
        const token = await newToken(under, place, { groupIds: [await newGroup(place)] });
        const machine = newMachine();
        under.auth.down.add("mintCertificate");
        await refusalOf(joinAs(under, token, machine));
        under.auth.down.clear();
        await tamper(under, place.tenantId, "delete from group_member");
        const { node } = await joinAs(under, token, machine);
        assert.equal(await groupsSigned(place, node?.id ?? ""), 1);
      });
    });

    it("cannot keep a revoked node from being denied", async () => {
      const place = await newPlace(under);
      const { tenantId } = place;
      const node = await newNode(under, place);
      under.auth.down.add("deny");
      await refusalOf(under.as(NodeService).revokeNode({ tenantId, nodeId: node.id }));
      under.auth.down.clear();
      const nobodys = Array.from({ length: 150 }, (_, n) => `('${n}', '${tenantId.slice(0, -1)}', 'epoch')`);
      await under.db.platform((tx) => tx.execute(sql.raw(`insert into pending_denial values ${nobodys.join()}`)));
      await under.redrive(() => under.auth.denied.includes(node.id));
      const other = await newNode(under, place);
      under.auth.down.add("deny");
      await refusalOf(under.as(NodeService).revokeNode({ tenantId, nodeId: other.id }));
      under.auth.down.clear();
      await under.db.platform((tx) => tx.execute(sql.raw("delete from pending_denial")));
      await under.as(NodeService).revokeNode({ tenantId, nodeId: other.id });
      assert.ok(under.auth.denied.includes(other.id));
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
      const again = await newPlace(under);
      const [former] = await under.db.tenant(again.tenantId, (tx) => tx.select().from(addressPools));
      assert.ok(former);
      await newNode(under, again);
      await under.db.tenant(again.tenantId, (tx) => tx.update(addressPools).set(former));
      await tamper(under, again.tenantId, "delete from address");
      await assert.rejects(joinAs(under, await newToken(under, again)));
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
