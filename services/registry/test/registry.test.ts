import assert from "node:assert/strict";
import type { PolicyTarget } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { type Node, NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import {
  CvlanService,
  EnrollmentService,
  GroupService,
  NodeService,
  RegionService,
  TagService,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { newId } from "@cloudvlan/kit/ids";
import { withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
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
  until,
} from "./harness.ts";

describe("registry", () => {
  withStores((stores) => {
    let under: RegistryUnderTest;
    before(async () => {
      under = await startRegistry(stores.store);
    });
    after(() => under[Symbol.dispose]());
    afterEach(() => under.auth.down.clear());

    const nodes = () => under.as(NodeService);
    const groups = () => under.as(GroupService);
    const newGroup = async (place: Place, name: string): Promise<string> => {
      const { group } = await groups().createGroup({ ...place, name });
      assert.ok(group);
      return group.id;
    };
    const resolve = async (place: Place, ...targets: PolicyTarget["target"][]) => {
      const answer = await registryOf(under).resolveTargets({
        ...place,
        targets: targets.map((target) => ({ target })),
      });
      return answer.targets.map(({ selector }) => selector?.selector);
    };

    describe("cvlans", () => {
      it("share the installation's /48 and nothing else", async () => {
        const [a, b] = [await newPlace(under), await newPlace(under, "10.0.0.0/8")];
        const prefixes: string[] = [];
        for (const [place, pool] of [
          [a, "100.64.0.0/10"],
          [b, "10.0.0.0/8"],
        ] as const) {
          const { cvlan, stats } = await under.as(CvlanService).getCvlan(place);
          assert.equal(cvlan?.ipv4Pool, pool);
          assert.match(cvlan.ipv6Prefix, /^fd[0-9a-f]{2}:[0-9a-f:]+::\/64$/);
          prefixes.push(cvlan.ipv6Prefix);
          assert.deepEqual([stats?.nodes, stats?.ipv4Addresses?.used], [0n, 0n]);
        }
        assert.notEqual(prefixes[0], prefixes[1]);
      });

      it("refuse pools that are malformed, reserved or of no use", async () => {
        const { tenantId } = await newPlace(under);
        const bad = {
          POOL_MALFORMED: ["10.0.0.1/8", "10.0.0.0", "fd00::/64", "10.0.0.0/08", "x"],
          POOL_SIZE: ["10.0.0.0/7", "10.0.0.0/31", "0.0.0.0/0"],
          POOL_RESERVED: ["127.0.0.0/8", "224.0.0.0/8", "169.254.0.0/16", "240.0.0.0/8", "169.254.16.0/24"],
        };
        for (const [reason, pools] of Object.entries(bad)) {
          for (const ipv4Pool of pools) {
            const refusal = await refusalOf(under.as(CvlanService).createCvlan({ tenantId, name: "p", ipv4Pool }));
            const expected = ipv4Pool === "10.0.0.0/7" || ipv4Pool === "0.0.0.0/0" ? "POOL_SIZE" : reason;
            assert.deepEqual([refusal.reason, refusal.detail.field], [expected, "ipv4_pool"], ipv4Pool);
          }
        }
      });

      it("have names of their own in a tenant, and need one", async () => {
        const place = await newPlace(under);
        const again = await refusalOf(under.as(CvlanService).createCvlan({ tenantId: place.tenantId, name: "main" }));
        assert.deepEqual([again.kind, again.detail.field], ["exists", "name"]);
        const nobody = newId("tenant", Date.now());
        assert.equal(
          (await refusalOf(under.as(CvlanService).createCvlan({ tenantId: nobody, name: "x" }))).kind,
          "not_found",
        );
      });

      it("are deleted when nobody is left in them", async () => {
        const place = await newPlace(under);
        const node = await newNode(under, place);
        assert.equal((await refusalOf(under.as(CvlanService).deleteCvlan(place))).reason, "CVLAN_IN_USE");
        await nodes().revokeNode({ tenantId: place.tenantId, nodeId: node.id });
        await newGroup(place, "left");
        await newToken(under, place);
        await under.as(CvlanService).deleteCvlan(place);
        assert.equal((await refusalOf(under.as(CvlanService).getCvlan(place))).kind, "not_found");
      });

      it("are not deleted under a node that joins meanwhile", async () => {
        const place = await newPlace(under);
        const { tenantId, cvlanId } = place;
        const locked = Promise.withResolvers<void>();
        const go = Promise.withResolvers<void>();
        const key = sql`decode(repeat('00', 32), 'hex')`;
        const joining = under.db.tenant(tenantId, async (tx) => {
          await tx.execute(sql`select 1 from cvlan where id = ${cvlanId} for key share`);
          locked.resolve();
          await go.promise;
          await tx.execute(sql`insert into node values (${tenantId}, ${newId("node", 0)}, ${cvlanId}, 'x', 1, 1, 1,
            ${key}, ${key}, 1, '{}', '{}', 'x', now(), null, null, '', 0, '')`);
        });
        await locked.promise;
        const deleting = refusalOf(under.as(CvlanService).deleteCvlan(place));
        const waiting = sql`select pid from pg_locks where not granted`;
        if (stores.kind === "postgres") {
          await until(async () => {
            const { rows } = (await under.db.platform((tx) => tx.execute(waiting))) as { rows: unknown[] };
            return rows.length > 0;
          });
        }
        go.resolve();
        await joining;
        assert.equal((await deleting).reason, "CVLAN_IN_USE");
        assert.equal((await under.as(CvlanService).getCvlan(place)).stats?.nodes, 1n);
      });

      it("are listed in pages", async () => {
        const { tenantId } = await newPlace(under);
        for (let i = 0; i < 4; i++) await under.as(CvlanService).createCvlan({ tenantId, name: `net-${i}` });
        const seen: string[] = [];
        for (let pageToken = ""; ;) {
          const { cvlans, meta } = await under
            .as(CvlanService)
            .listCvlans({ tenantId, pagination: { pageSize: 2, pageToken } });
          assert.ok(cvlans.length <= 2);
          seen.push(...cvlans.map((cvlan) => cvlan.name));
          pageToken = meta?.nextPageToken ?? "";
          if (pageToken === "") break;
        }
        assert.deepEqual(seen, ["main", "net-0", "net-1", "net-2", "net-3"]);
        const bad = under.as(CvlanService).listCvlans({ tenantId, pagination: { pageToken: "x" } });
        assert.equal((await refusalOf(bad)).reason, "PAGE_TOKEN_INVALID");
      });
    });

    describe("another tenant's ids", () => {
      it("are those of nothing at all", async () => {
        const [mine, theirs] = [await newPlace(under), await newPlace(under)];
        const node = await newNode(under, theirs);
        const groupId = await newGroup(theirs, "g");
        const token = await newToken(under, theirs);
        const { tenantId } = mine;
        const foreign = { tenantId, cvlanId: theirs.cvlanId };
        const calls: [string, (tenantId: string) => Promise<unknown>][] = [
          ["getNode", (id) => nodes().getNode({ tenantId: id, nodeId: node.id })],
          ["updateNode", (id) => nodes().updateNode({ tenantId: id, nodeId: node.id, name: "x" })],
          ["addGroupMember", (id) => groups().addGroupMember({ tenantId: id, groupId, nodeId: node.id })],
          ["removeGroupMember", (id) => groups().removeGroupMember({ tenantId: id, groupId, nodeId: node.id })],
          ["deleteGroup", (id) => groups().deleteGroup({ tenantId: id, groupId })],
          [
            "revokeJoinToken",
            (id) => under.as(EnrollmentService).revokeJoinToken({ tenantId: id, tokenId: token.tokenId }),
          ],
          ["revokeNode", (id) => nodes().revokeNode({ tenantId: id, nodeId: node.id })],
        ];
        for (const [name, call] of calls) assert.equal((await refusalOf(call(tenantId))).kind, "not_found", name);
        const inPlace: [string, (place: Place) => Promise<unknown>][] = [
          ["getCvlan", (place) => under.as(CvlanService).getCvlan(place)],
          ["listNodes", (place) => nodes().listNodes(place)],
          ["listGroups", (place) => groups().listGroups(place)],
          ["createGroup", (place) => groups().createGroup({ ...place, name: "x" })],
          ["listTags", (place) => under.as(TagService).listTags(place)],
          ["createJoinToken", (place) => under.as(EnrollmentService).createJoinToken(place)],
          ["listJoinTokens", (place) => under.as(EnrollmentService).listJoinTokens(place)],
          ["resolveTargets", (place) => registryOf(under).resolveTargets(place)],
          ["deleteCvlan", (place) => under.as(CvlanService).deleteCvlan(place)],
        ];
        for (const [name, call] of inPlace) assert.equal((await refusalOf(call(foreign))).kind, "not_found", name);
        for (const [name, call] of [...inPlace].slice(0, -1)) await assert.doesNotReject(call(theirs), name);
        for (const [name, call] of calls) await assert.doesNotReject(call(theirs.tenantId), name);
      });
    });

    describe("nodes", () => {
      it("are changed by signing the next record, and a repetition changes nothing", async () => {
        const place = await newPlace(under);
        const { id: nodeId } = await newNode(under, place, "alpha");
        const change = {
          tenantId: place.tenantId,
          nodeId,
          name: "beta",
          tags: { tags: { role: "db", zone: "a" } },
          routes: { routes: [{ prefix: "192.168.7.0/24" }, { prefix: "fd12:3456::/32" }] },
        };
        const { node } = await nodes().updateNode(change);
        assert.deepEqual([node?.name, node?.tags, node?.routes.length], ["beta", { role: "db", zone: "a" }, 2]);
        await nodes().updateNode(change);
        const record = (await streamOf(under, place)).get(nodeId);
        assert.deepEqual([record?.recordRevision, record?.name, record?.selectors.length], [2n, "beta", 2]);
        assert.deepEqual(
          record?.routes.map(({ length }) => length),
          [24, 32],
        );
        await nodes().updateNode({ tenantId: place.tenantId, nodeId, routes: { routes: [] } });
        const after = (await streamOf(under, place)).get(nodeId);
        assert.deepEqual(
          [after?.recordRevision, after?.name, after?.routes, after?.selectors.length],
          [3n, "beta", [], 2],
        );
        assert.deepEqual(await audited(under, place.tenantId, nodeId), ["JOINING", "ok", "ok", "ok", "ok"]);
      });

      it("cannot have more routes, tags and groups than fit into a record that nodes take", async () => {
        const place = await newPlace(under);
        const { tenantId } = place;
        const { id: nodeId } = await newNode(under, place, "alpha");
        const routes = (count: number) => ({
          routes: Array.from({ length: count }, (_, n) => ({ prefix: `2001:db8:${(n + 1).toString(16)}::/48` })),
        });
        const tooMany = await refusalOf(nodes().updateNode({ tenantId, nodeId, routes: routes(256) }));
        assert.deepEqual(
          [tooMany.kind, tooMany.reason, tooMany.detail.field],
          ["invalid", "NODE_TOO_LARGE", "routes.routes"],
        );
        assert.match(tooMany.detail.remedy ?? "", /fewer routes/);
        assert.equal((await streamOf(under, place)).get(nodeId)?.recordRevision, 1n);

        let fits = 256;
        while (fits > 0) {
          fits -= 1;
          const refusal = await refusalOf(nodes().updateNode({ tenantId, nodeId, routes: routes(fits) })).catch(
            () => undefined,
          );
          if (!refusal) break;
        }
        const { group } = await under.as(GroupService).createGroup({ ...place, name: "last-straw" });
        const tags = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`tag${n}`, "x"]));
        const byTags = await refusalOf(nodes().updateNode({ tenantId, nodeId, tags: { tags } }));
        assert.deepEqual([byTags.reason, byTags.detail.field], ["NODE_TOO_LARGE", "tags.tags"]);
        let byGroup;
        for (let n = 0; n < 4 && !byGroup; n++) {
          const added =
            n === 0 ? group : (await under.as(GroupService).createGroup({ ...place, name: `straw-${n}` })).group;
          const call = under.as(GroupService).addGroupMember({ tenantId, groupId: added?.id ?? "", nodeId });
          byGroup = await refusalOf(call).catch(() => undefined);
        }
        assert.deepEqual([byGroup?.reason, byGroup?.detail.field], ["NODE_TOO_LARGE", "node_id"]);
        const record = (await streamOf(under, place)).get(nodeId);
        assert.equal(record?.routes.length, fits);
      });

      it("cannot take a name that is taken, nor routes that are not theirs", async () => {
        const place = await newPlace(under);
        await newNode(under, place, "alpha");
        const { id: nodeId } = await newNode(under, place, "beta");
        const { tenantId } = place;
        const taken = await refusalOf(nodes().updateNode({ tenantId, nodeId, name: "alpha" }));
        assert.deepEqual([taken.kind, taken.detail.field], ["exists", "name"]);
        const { cvlan } = await under.as(CvlanService).getCvlan(place);
        const bad = {
          ROUTE_OVERLAPS_POOL: ["100.64.3.0/24", "0.0.0.0/0", cvlan?.ipv6Prefix ?? "", "::/0"],
          ROUTE_MALFORMED: ["192.168.7.1/24", "here"],
          ROUTE_RESERVED: ["127.0.0.0/16", "ff02::/16"],
        };
        for (const [reason, prefixes] of Object.entries(bad)) {
          for (const prefix of prefixes) {
            const routes = { routes: [{ prefix: "192.168.1.0/24" }, { prefix }] };
            const refusal = await refusalOf(nodes().updateNode({ tenantId, nodeId, routes }));
            assert.deepEqual([refusal.reason, refusal.detail.field], [reason, "routes.routes[1].prefix"], prefix);
          }
        }
        assert.equal((await streamOf(under, place)).get(nodeId)?.recordRevision, 1n);
      });

      it("lose no change when several come at once", async () => {
        const place = await newPlace(under);
        const { id: nodeId } = await newNode(under, place);
        const ids = await Promise.all(Array.from({ length: 8 }, (_, i) => newGroup(place, `g${i}`)));
        const { tenantId } = place;
        await Promise.all([
          ...ids.map((groupId) => groups().addGroupMember({ tenantId, groupId, nodeId })),
          nodes().updateNode({ tenantId, nodeId, name: "renamed" }),
          nodes().updateNode({ tenantId, nodeId, tags: { tags: { a: "b" } } }),
        ]);
        const record = (await streamOf(under, place)).get(nodeId);
        assert.deepEqual([record?.recordRevision, record?.name, record?.selectors.length], [11n, "renamed", 9]);
        const { node } = await nodes().getNode({ tenantId, nodeId });
        assert.deepEqual(node?.groupIds, ids.toSorted());
      });
    });

    describe("revocation", () => {
      const revoke = ({ tenantId }: Place, { id: nodeId }: Node) => nodes().revokeNode({ tenantId, nodeId });

      it("removes the node, has its identity denied, and can be repeated", async () => {
        const place = await newPlace(under);
        const node = await newNode(under, place);
        const { tenantId } = place;
        assert.equal((await revoke(place, node)).node?.status, NodeStatus.REVOKED);
        assert.equal((await streamOf(under, place)).get(node.id), undefined);
        assert.ok(under.auth.denied.includes(node.id));
        assert.equal((await revoke(place, node)).node?.status, NodeStatus.REVOKED);
        const refusal = await refusalOf(nodes().updateNode({ tenantId, nodeId: node.id, name: "x" }));
        assert.equal(refusal.reason, "NODE_REVOKED");
        assert.equal((await newNode(under, place, node.name)).name, node.name);
      });

      it("is finished by the job when auth did not answer", async () => {
        const place = await newPlace(under);
        const node = await newNode(under, place);
        under.auth.down.add("deny");
        assert.equal((await refusalOf(revoke(place, node))).kind, "unavailable");
        assert.equal((await streamOf(under, place)).get(node.id), undefined);
        assert.equal((await refusalOf(under.as(CvlanService).deleteCvlan(place))).reason, "CVLAN_IN_USE");
        under.auth.down.clear();
        await under.redrive();
        assert.deepEqual(
          under.auth.denied.filter((id) => id === node.id),
          [node.id],
        );
      });

      it("reaches a node that never finished its join", async () => {
        const place = await newPlace(under);
        under.auth.down.add("mintCertificate");
        await refusalOf(joinAs(under, await newToken(under, place)));
        const { nodes: joining } = await nodes().listNodes(place);
        assert.ok(joining[0]);
        assert.equal((await revoke(place, joining[0])).node?.status, NodeStatus.REVOKED);
        assert.ok(under.auth.denied.includes(joining[0].id));
      });
    });

    describe("groups and selectors", () => {
      it("appear in records as what ResolveTargets says", async () => {
        const place = await newPlace(under);
        const groupId = await newGroup(place, "web");
        const { id: nodeId } = await newNode(under, place, "alpha");
        const { tenantId } = place;
        await groups().addGroupMember({ tenantId, groupId, nodeId });
        await groups().addGroupMember({ tenantId, groupId, nodeId });
        await nodes().updateNode({ tenantId, nodeId, tags: { tags: { role: "db" } } });
        const [any, group, tag, node, cidr, ...unknown] = await resolve(
          place,
          { case: "any", value: true },
          { case: "group", value: "web" },
          { case: "tag", value: "role=db" },
          { case: "node", value: "alpha" },
          { case: "cidr", value: "10.1.0.0/16" },
          { case: "group", value: "nobody" },
          { case: "tag", value: "role=web" },
          { case: "node", value: "beta" },
        );
        assert.deepEqual(any, { case: "any", value: true });
        assert.deepEqual(node, { case: "nodeId", value: nodeId });
        assert.equal(cidr?.case, "prefix");
        assert.ok(unknown.every((selector) => selector === undefined || selector.case === undefined));
        const record = (await streamOf(under, place)).get(nodeId);
        assert.equal(record?.recordRevision, 3n);
        const hex = (bytes: unknown) => Buffer.from(bytes as Uint8Array).toString("hex");
        assert.deepEqual([hex(group?.value), hex(tag?.value)].toSorted(), record.selectors.map(hex));
        const { groups: listed } = await groups().listGroups(place);
        assert.deepEqual(
          listed.map((each) => [each.group?.name, each.members]),
          [["web", 1n]],
        );
        const { tags } = await under.as(TagService).listTags(place);
        assert.deepEqual(
          tags.map((each) => [each.tag?.key, each.tag?.value, each.nodes]),
          [["role", "db", 1n]],
        );
      });

      it("know a tag that only a join token carries", async () => {
        const place = await newPlace(under);
        await newToken(under, place, { tags: { tags: { soon: "yes" } } });
        const [selector] = await resolve(place, { case: "tag", value: "soon=yes" });
        assert.equal(selector?.case, "selectorId");
      });

      it("leave the records of their members when they are deleted", async () => {
        const place = await newPlace(under);
        const groupId = await newGroup(place, "web");
        const { tenantId } = place;
        const members = [await newNode(under, place, "a"), await newNode(under, place, "b")];
        for (const { id: nodeId } of members) await groups().addGroupMember({ tenantId, groupId, nodeId });
        await groups().deleteGroup({ tenantId, groupId });
        const stream = await streamOf(under, place);
        for (const { id } of members) {
          assert.deepEqual([stream.get(id)?.recordRevision, stream.get(id)?.selectors], [3n, []]);
        }
        assert.equal((await refusalOf(groups().deleteGroup({ tenantId, groupId }))).kind, "not_found");
      });

      it("hold nodes of their own cvlan only", async () => {
        const place = await newPlace(under);
        const { cvlan } = await under.as(CvlanService).createCvlan({ tenantId: place.tenantId, name: "second" });
        const groupId = await newGroup({ ...place, cvlanId: cvlan?.id ?? "" }, "there");
        const { id: nodeId } = await newNode(under, place);
        const refusal = await refusalOf(groups().addGroupMember({ tenantId: place.tenantId, groupId, nodeId }));
        assert.equal(refusal.reason, "OTHER_CVLAN");
      });
    });

    it("keeps regions with names of their own", async () => {
      const regions = under.as(RegionService);
      const { region } = await regions.createRegion({ name: "eu-west", displayName: "Europe" });
      assert.equal((await refusalOf(regions.createRegion({ name: "eu-west" }))).kind, "exists");
      assert.deepEqual(
        (await regions.listRegions({})).regions.map((each) => each.id),
        [region?.id],
      );
      await regions.deleteRegion({ regionId: region?.id ?? "" });
      assert.equal((await refusalOf(regions.deleteRegion({ regionId: region?.id ?? "" }))).kind, "not_found");
    });

    it("tells a watcher of a cvlan of each node that comes, changes and goes", async () => {
      const place = await newPlace(under);
      const stop = new AbortController();
      const stream = registryOf(under).watchChanges({ ...place, since: 0n }, { signal: stop.signal });
      const seen: string[] = [];
      const watching = (async () => {
        for await (const { changes } of stream) {
          seen.push(...changes.map(({ change, revision }) => `${change.case}@${revision}`));
          if (changes.some(({ change }) => change.case === "removal")) break;
        }
      })();
      const node = await newNode(under, place);
      await nodes().updateNode({ tenantId: place.tenantId, nodeId: node.id, name: "renamed" });
      await nodes().revokeNode({ tenantId: place.tenantId, nodeId: node.id });
      await watching;
      stop.abort();
      // Changes that came together are one: the last is what counts. The first two are settings and DNS record of the cvlan.
      assert.equal(seen.at(-1), "removal@5");
      await joinAs(under, await newToken(under, place), newMachine());
    });

    it("ends memberships and cvlans of a deleted tenant, and no other's", async () => {
      const [place, other] = [await newPlace(under), await newPlace(under)];
      const members = [await newNode(under, place, "a"), await newNode(under, place, "b")];
      const stays = await newNode(under, other, "c");
      const { tenantId, cvlanId } = place;
      under.auth.deleteTenant(tenantId);
      const listed = async () => (await under.as(CvlanService).listCvlans({ tenantId })).cvlans.length;
      await under.working(async () => (await listed()) === 0);
      for (const { id: nodeId } of members) assert.ok(under.auth.denied.includes(nodeId));
      assert.equal((await refusalOf(under.as(CvlanService).getCvlan({ tenantId, cvlanId }))).reason, "CVLAN_NOT_FOUND");
      const { node } = await nodes().getNode({ tenantId: other.tenantId, nodeId: stays.id });
      assert.equal(node?.status, NodeStatus.ACTIVE);
    });

    it("logs nothing as an error in all of this", () => {
      assert.deepEqual(under.errors, []);
    });
  });
});
