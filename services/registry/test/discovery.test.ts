import assert from "node:assert/strict";
import { CvlanService, DiscoveryServerService, RegionService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { newId } from "@cloudvlan/kit/ids";
import { formatAddress } from "@cloudvlan/kit/net";
import { withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import {
  newPlace,
  type Place,
  refusalOf,
  type RegistryUnderTest,
  relayMapOf,
  startRegistry,
  tamper,
} from "./harness.ts";

describe("discovery servers", () => {
  withStores((stores) => {
    let under: RegistryUnderTest;
    let regionId: string;
    before(async () => {
      under = await startRegistry(stores.store);
      regionId = await newRegion("eu-west");
    });
    after(() => under[Symbol.dispose]());
    beforeEach(() => under.errors.splice(0));
    afterEach(async () => {
      const { discoveryServers } = await servers().listDiscoveryServers({ pagination: { pageSize: 1_000 } });
      for (const { id } of discoveryServers) await servers().deleteDiscoveryServer({ discoveryServerId: id });
    });

    const servers = () => under.as(DiscoveryServerService);
    const regions = () => under.as(RegionService);
    const cvlans = () => under.as(CvlanService);
    const at = (address: string, port = 3478) => ({ address, port });

    async function newRegion(name: string): Promise<string> {
      const { region } = await regions().createRegion({ name });
      assert.ok(region);
      return region.id;
    }

    async function newServer(name: string, ...endpoints: ReturnType<typeof at>[]): Promise<string> {
      const { discoveryServer } = await servers().createDiscoveryServer({ name, regionId, endpoints });
      assert.ok(discoveryServer);
      return discoveryServer.id;
    }

    async function rowsOf(query: ReturnType<typeof sql>): Promise<Record<string, unknown>[]> {
      return ((await under.db.platform((tx) => tx.execute(query))) as unknown as { rows: Record<string, unknown>[] })
        .rows;
    }

    /** Whatever is due is published. */
    async function published(): Promise<void> {
      const due = sql`select 1 from publication where relay_revision < (select revision from relay_revision)`;
      await under.working(async () => (await rowsOf(due)).length === 0);
    }

    /** Region and endpoints of each server that the cvlan is told. */
    async function told(place: Place): Promise<string[] | undefined> {
      const record = await relayMapOf(under, place);
      return record?.servers.map(({ region, endpoints }) =>
        [region, ...endpoints.map(({ address, port }) => `${formatAddress(address)} ${port}`)].join(", "),
      );
    }

    it("are made, read, changed and deleted", async () => {
      const id = await newServer("stun-1", at("192.0.2.1"), at("2001:DB8:0::1", 3479));
      const { discoveryServer: made } = await servers().getDiscoveryServer({ discoveryServerId: id });
      assert.ok(made?.provenance?.createdAt);
      assert.match(id, /^discoveryserver_/);
      assert.deepEqual(
        [made.name, made.regionId, made.endpoints.map(({ address, port }) => [address, port])],
        [
          "stun-1",
          regionId,
          [
            ["192.0.2.1", 3478],
            ["2001:db8::1", 3479],
          ],
        ],
      );
      const other = await newServer("stun-2", at("192.0.2.2"));
      const { discoveryServers: first, meta } = await servers().listDiscoveryServers({ pagination: { pageSize: 1 } });
      const rest = await servers().listDiscoveryServers({ pagination: { pageToken: meta?.nextPageToken ?? "" } });
      assert.deepEqual(
        [...first, ...rest.discoveryServers].map((each) => each.id),
        [id, other],
      );
      const moved = await newRegion("eu-north");
      const { discoveryServer: renamed } = await servers().updateDiscoveryServer({
        discoveryServerId: id,
        name: "stun-9",
      });
      assert.deepEqual([renamed?.name, renamed?.endpoints.length], ["stun-9", 2]);
      const change = { discoveryServerId: id, regionId: moved, endpoints: [at("10.0.0.1")] };
      const { discoveryServer: changed } = await servers().updateDiscoveryServer(change);
      assert.deepEqual(
        [changed?.name, changed?.regionId, changed?.endpoints.map(({ address }) => address)],
        ["stun-9", moved, ["10.0.0.1"]],
      );
      await servers().deleteDiscoveryServer({ discoveryServerId: id });
      for (const call of [
        () => servers().getDiscoveryServer({ discoveryServerId: id }),
        () => servers().updateDiscoveryServer({ discoveryServerId: id, name: "stun-1" }),
        () => servers().deleteDiscoveryServer({ discoveryServerId: id }),
      ])
        assert.equal((await refusalOf(call())).reason, "DISCOVERY_SERVER_NOT_FOUND");
      await regions().deleteRegion({ regionId: moved });
      const actions = await rowsOf(sql`select action from audit_log where object_id = ${id} order by sequence`);
      assert.deepEqual(
        actions.map(({ action }) => String(action).split("/").at(-1)),
        ["CreateDiscoveryServer", "UpdateDiscoveryServer", "UpdateDiscoveryServer", "DeleteDiscoveryServer"],
      );
    });

    it("have names and endpoints of their own, in a region that there is", async () => {
      const id = await newServer("stun-1", at("192.0.2.1"), at("192.0.2.1", 3479));
      const other = await newServer("stun-2", at("192.0.2.2"));
      const refused = async (call: Promise<unknown>) => {
        const { kind, reason, detail } = await refusalOf(call);
        return [kind, reason, detail.field];
      };
      const create = (name: string, ...endpoints: ReturnType<typeof at>[]) =>
        refused(servers().createDiscoveryServer({ name, regionId, endpoints }));
      const nameTaken = ["exists", "DISCOVERY_SERVER_NAME_TAKEN", "name"];
      assert.deepEqual(await create("stun-1", at("192.0.2.3")), nameTaken);
      const taken = ["exists", "ENDPOINT_TAKEN", "endpoints[1]"];
      assert.deepEqual(await create("stun-3", at("192.0.2.3"), at("::ffff:192.0.2.1")), taken);
      const twice = ["invalid", "ENDPOINT_TWICE", "endpoints[1]"];
      assert.deepEqual(await create("stun-3", at("2001:db8::1"), at("2001:0db8::0:1")), twice);
      const update = (change: object) =>
        refused(servers().updateDiscoveryServer({ discoveryServerId: other, ...change }));
      assert.deepEqual(await update({ name: "stun-1" }), nameTaken);
      assert.deepEqual(await update({ endpoints: [at("192.0.2.9"), at("192.0.2.1", 3479)] }), taken);
      assert.deepEqual(await update({ endpoints: [at("192.0.2.9"), at("192.0.2.9")] }), twice);
      const nowhere = newId("region", Date.now());
      const noRegion = ["not_found", "REGION_NOT_FOUND", "region_id"];
      assert.deepEqual(await update({ regionId: nowhere }), noRegion);
      const create2 = servers().createDiscoveryServer({
        name: "stun-3",
        regionId: nowhere,
        endpoints: [at("192.0.2.3")],
      });
      assert.deepEqual(await refused(create2), noRegion);
      // Its own name and endpoints are no other's.
      await servers().updateDiscoveryServer({ discoveryServerId: id, name: "stun-1", endpoints: [at("192.0.2.1")] });
      await newServer("stun-3", at("192.0.2.1", 3479));
    });

    for (const [address, reason] of [
      ["0.0.0.0", "ENDPOINT_UNUSABLE"],
      ["0.1.2.3", "ENDPOINT_UNUSABLE"],
      ["::", "ENDPOINT_UNUSABLE"],
      ["224.0.0.1", "ENDPOINT_UNUSABLE"],
      ["ff02::1", "ENDPOINT_UNUSABLE"],
      ["255.255.255.255", "ENDPOINT_UNUSABLE"],
      ["::ffff:224.0.0.1", "ENDPOINT_UNUSABLE"],
      ["stun.example.org", "ENDPOINT_MALFORMED"],
      ["fe80::1%eth0", "ENDPOINT_MALFORMED"],
    ] as const) {
      it(`answer at no ${address}`, async () => {
        const endpoints = [at("192.0.2.1"), at(address)];
        const created = await refusalOf(servers().createDiscoveryServer({ name: "stun-1", regionId, endpoints }));
        assert.deepEqual([created.reason, created.detail.field], [reason, "endpoints[1].address"]);
        const id = await newServer("stun-1", at("127.0.0.1"));
        const updated = await refusalOf(servers().updateDiscoveryServer({ discoveryServerId: id, endpoints }));
        assert.deepEqual([updated.reason, updated.detail.field], [reason, "endpoints[1].address"]);
      });
    }

    it("are at most as many as nodes take", async () => {
      const place = await newPlace(under);
      for (let n = 1; n <= 64; n++) await newServer(`stun-${n}`, at(`192.0.2.${n}`));
      const one = { name: "stun-65", regionId, endpoints: [at("192.0.2.65")] };
      assert.equal((await refusalOf(servers().createDiscoveryServer(one))).reason, "DISCOVERY_SERVERS_FULL");
      await published();
      assert.equal((await told(place))?.length, 64);
    });

    it("keep their region from being deleted, and follow its name", async () => {
      const place = await newPlace(under);
      const id = await newServer("stun-1", at("192.0.2.1"));
      const refusal = await refusalOf(regions().deleteRegion({ regionId }));
      assert.deepEqual(
        [refusal.kind, refusal.reason, refusal.detail.objectId],
        ["conflict", "REGION_IN_USE", regionId],
      );
      await published();
      assert.deepEqual(await told(place), ["eu-west, 192.0.2.1 3478"]);
      await regions().updateRegion({ regionId, name: "eu-far-west" });
      await published();
      assert.deepEqual(await told(place), ["eu-far-west, 192.0.2.1 3478"]);
      const { recordRevision } = (await relayMapOf(under, place)) ?? {};
      await regions().updateRegion({ regionId, name: "eu-far-west", displayName: "Far" });
      const elsewhere = await newRegion("us-east");
      await regions().updateRegion({ regionId: elsewhere, name: "us-west" });
      await published();
      assert.equal((await relayMapOf(under, place))?.recordRevision, recordRevision);
      await regions().updateRegion({ regionId, name: "eu-west" });
      // A worker of the former version renames regions without looking at servers; the same again mends that.
      await under.db.platform((tx) => tx.execute(sql`update region set name = 'eu-mid' where id = ${regionId}`));
      await regions().updateRegion({ regionId, name: "eu-mid" });
      await published();
      assert.deepEqual(await told(place), ["eu-mid, 192.0.2.1 3478"]);
      await regions().updateRegion({ regionId, name: "eu-west" });
      await servers().deleteDiscoveryServer({ discoveryServerId: id });
      await regions().deleteRegion({ regionId: elsewhere });
    });

    it("are signed for every cvlan of every tenant, those that come later included, and when the last one went", async () => {
      const places = [await newPlace(under), await newPlace(under)];
      const revisionOf = async (place: Place) => (await relayMapOf(under, place))?.recordRevision;
      for (const place of places) assert.equal(await told(place), undefined, "nothing is said before the first server");
      const id = await newServer("stun-1", at("192.0.2.1"), at("2001:db8::1"));
      await published();
      const first = ["eu-west, 192.0.2.1 3478, 2001:db8::1 3478"];
      for (const place of places) assert.deepEqual([await told(place), await revisionOf(place)], [first, 1n]);
      const [place] = places;
      assert.ok(place);
      const record = await relayMapOf(under, place);
      assert.deepEqual(
        [record?.tenantId, record?.cvlanId, record?.servers[0]?.id],
        [place.tenantId, place.cvlanId, id],
      );

      const late = await newPlace(under);
      assert.deepEqual(await told(late), first, "with the cvlan and not by the job");
      // A worker of the former version makes cvlans, and takes them off its list.
      const former = await newPlace(under);
      await tamper(under, former.tenantId, `delete from change where object_id = 'relay_map'`);
      await tamper(under, former.tenantId, `delete from cvlan_relay_map`);
      await tamper(under, former.tenantId, `update publication set due = false, relay_revision = 0`);
      await published();
      assert.deepEqual(await told(former), first);

      await servers().updateDiscoveryServer({ discoveryServerId: id, endpoints: [at("192.0.2.1"), at("2001:db8::1")] });
      await servers().updateDiscoveryServer({ discoveryServerId: id, name: "stun-2" });
      await published();
      const { revision } = await under.changes.read(place.tenantId, place.cvlanId, 0n);
      for (const each of [...places, late, former]) assert.equal(await revisionOf(each), 1n, "nodes are told no names");
      await servers().updateDiscoveryServer({ discoveryServerId: id, endpoints: [at("192.0.2.7")] });
      await published();
      for (const each of [...places, late, former]) {
        assert.deepEqual([await told(each), await revisionOf(each)], [["eu-west, 192.0.2.7 3478"], 2n]);
      }
      assert.equal((await under.changes.read(place.tenantId, place.cvlanId, 0n)).revision, revision + 1n);
      await servers().deleteDiscoveryServer({ discoveryServerId: id });
      await published();
      for (const each of [...places, late, former])
        assert.deepEqual([await told(each), await revisionOf(each)], [[], 3n]);
      assert.equal(await told(await newPlace(under)), undefined);
      assert.deepEqual(under.errors, []);
    });

    it("come in the order of their ids, and from two workers at once", async () => {
      const place = await newPlace(under);
      const more = await stores.openAgain();
      using second = await startRegistry(more, {}, under);
      const ids = [await newServer("stun-b", at("192.0.2.2")), await newServer("stun-a", at("192.0.2.1"))];
      await Promise.all([
        second.working(async () => (await relayMapOf(under, place))?.servers.length === 2),
        published(),
      ]);
      const record = await relayMapOf(under, place);
      assert.deepEqual(
        record?.servers.map((server) => server.id),
        ids.toSorted(),
      );
      assert.ok((record?.recordRevision ?? 9n) <= 2n);
      assert.deepEqual([...under.errors, ...second.errors], []);
    });

    for (const change of [
      `endpoints = '{203.0.113.66:3478}'`,
      `region_name = 'evil'`,
      `name = 'evil'`,
      `seal = decode('00', 'hex')`,
    ]) {
      it(`are in no map once somebody who has no key changed them: ${change}`, async () => {
        const place = await newPlace(under);
        const id = await newServer("stun-1", at("192.0.2.1"));
        await newServer("stun-2", at("192.0.2.2"));
        await under.db.platform((tx) =>
          tx.execute(sql.raw(`update discovery_server set ${change} where id = '${id}'`)),
        );
        await published();
        assert.deepEqual(await told(place), ["eu-west, 192.0.2.2 3478"]);
        const { kind } = await refusalOf(servers().getDiscoveryServer({ discoveryServerId: id }));
        const { discoveryServers } = await servers().listDiscoveryServers({});
        assert.deepEqual([kind, discoveryServers.map(({ name }) => name)], ["not_found", ["stun-2"]]);
        assert.ok(under.errors.length > 0);
        await servers().deleteDiscoveryServer({ discoveryServerId: id });
      });
    }

    it("cannot be given the region's name of somebody who has no key", async () => {
      const region = await newRegion("us-east");
      await under.db.platform((tx) => tx.execute(sql`update region set name = 'not a name' where id = ${region}`));
      const request = { name: "stun-1", regionId: region, endpoints: [at("192.0.2.1")] };
      await assert.rejects(servers().createDiscoveryServer(request));
      assert.deepEqual((await servers().listDiscoveryServers({})).discoveryServers, []);
      await regions().deleteRegion({ regionId: region });
    });

    for (const change of [`record = decode('00', 'hex')`, `record_revision = 9`]) {
      it(`are not signed on top of a record that somebody changed: ${change}`, async () => {
        const place = await newPlace(under);
        const id = await newServer("stun-1", at("192.0.2.1"));
        await published();
        const { tenantId, cvlanId } = place;
        await tamper(under, tenantId, `update cvlan_relay_map set ${change} where cvlan_id = '${cvlanId}'`);
        await servers().updateDiscoveryServer({ discoveryServerId: id, endpoints: [at("192.0.2.2")] });
        const other = await newPlace(under);
        const seen = async () => (await told(other))?.join() === "eu-west, 192.0.2.2 3478" && under.errors.length > 0;
        await under.working(seen);
        assert.deepEqual(await told(place), ["eu-west, 192.0.2.1 3478"]);
        await cvlans().deleteCvlan({ tenantId, cvlanId });
        await published();
      });
    }
  });
});
