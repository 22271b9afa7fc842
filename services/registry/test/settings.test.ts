import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { StalePolicy } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type Settings, SettingsLayer, SettingsSchema } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { CvlanService, EnrollmentService, SettingsService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { newId } from "@cloudvlan/kit/ids";
import { withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import fc from "fast-check";
import { effectiveOf } from "../domain/settings.ts";
import {
  audited,
  dnsOf,
  newPlace,
  newToken,
  operator,
  type Place,
  refusalOf,
  type RegistryUnderTest,
  registryOf,
  startRegistry,
  tamper,
} from "./harness.ts";

const { CLUSTER, TENANT, CVLAN, PLATFORM } = SettingsLayer;
const WEEK = 604_800;
const ALL = new Set(Object.values(Permission).filter((value): value is Permission => typeof value === "number"));
const route = (suffix: string) => ({ suffix, upstreams: [{ address: "10.0.0.53" }] });

describe("settings", () => {
  withStores((stores) => {
    let under: RegistryUnderTest;
    before(async () => {
      under = await startRegistry(stores.store, { settings: { map_ttl_seconds: 86_400 } });
    });
    after(() => under[Symbol.dispose]());
    beforeEach(() => under.errors.splice(0));
    afterEach(() => service().updateSettings({ layer: CLUSTER, settings: {} }));

    const everything = operator();
    const all = { ...everything, authority: everything.authority && { ...everything.authority, permissions: ALL } };
    const service = (caller = all) => under.as(SettingsService, caller);
    const ofCvlan = ({ tenantId, cvlanId }: Place) => ({ layer: CVLAN, tenantId, cvlanId });
    const ofTenant = ({ tenantId }: Place) => ({ layer: TENANT, tenantId });
    const effective = async (place: Place) => (await service().getSettings(ofCvlan(place))).effective;

    /** What a follower of the cvlan's stream is told is in force. */
    async function told(place: Place) {
      const stop = new AbortController();
      for await (const { changes } of registryOf(under).watchChanges(
        { ...place, since: 0n },
        { signal: stop.signal },
      )) {
        for (const { change } of changes) if (change.case === "settings") return change.value;
      }
      throw new Error("the stream ended");
    }

    it("come from the most specific layer that sets them, and limits from the strictest", async () => {
      const place = await newPlace(under);
      assert.deepEqual((await effective(place))?.decidedBy, {
        stale_policy: PLATFORM,
        map_ttl_seconds: PLATFORM,
        join_token_max_ttl_seconds: PLATFORM,
        dns_routes: PLATFORM,
      });
      assert.equal((await effective(place))?.settings?.mapTtlSeconds, 86_400);
      await service().updateSettings({
        layer: CLUSTER,
        settings: { stalePolicy: StalePolicy.STOP, mapTtlSeconds: 7_200, joinTokenMaxTtlSeconds: 600 },
      });
      await service().updateSettings({
        ...ofTenant(place),
        settings: { mapTtlSeconds: 3_600, joinTokenMaxTtlSeconds: 300 },
      });
      const { own, effective: now } = await service().updateSettings({
        ...ofCvlan(place),
        settings: { mapTtlSeconds: 600, joinTokenMaxTtlSeconds: WEEK, dnsRoutes: { routes: [route("corp.example")] } },
      });
      assert.equal(own?.revision, 1n);
      assert.deepEqual(now?.decidedBy, {
        stale_policy: CLUSTER,
        map_ttl_seconds: CVLAN,
        join_token_max_ttl_seconds: TENANT,
        dns_routes: CVLAN,
      });
      const { stalePolicy, mapTtlSeconds, joinTokenMaxTtlSeconds } = now?.settings ?? {};
      assert.deepEqual([stalePolicy, mapTtlSeconds, joinTokenMaxTtlSeconds], [StalePolicy.STOP, 600, 300]);
      const tenant = await service().getSettings(ofTenant(place));
      assert.deepEqual([tenant.own?.revision, tenant.effective?.settings?.mapTtlSeconds], [1n, 3_600]);
      const platform = await service().getSettings({ layer: PLATFORM });
      assert.equal(platform.effective?.settings?.stalePolicy, StalePolicy.KEEP);
    });

    it("limit how long join tokens live", async () => {
      const place = await newPlace(under);
      await service().updateSettings({ ...ofCvlan(place), settings: { joinTokenMaxTtlSeconds: 600 } });
      const refusal = await refusalOf(newToken(under, place, { ttlSeconds: 601 }));
      assert.deepEqual([refusal.reason, refusal.detail.field], ["TTL_TOO_LONG", "ttl_seconds"]);
      await newToken(under, place, { ttlSeconds: 600 });
      await newToken(under, place);
      const { tokens } = await under.as(EnrollmentService).listJoinTokens(place);
      for (const { expiresAt, provenance } of tokens) {
        assert.equal((expiresAt?.seconds ?? 0n) - (provenance?.createdAt?.seconds ?? 0n), 600n);
      }
      assert.equal(tokens.length, 2);
    });

    it("of a cvlan are told at once, and their routes signed", async () => {
      const place = await newPlace(under);
      await service().updateSettings({
        ...ofCvlan(place),
        settings: { stalePolicy: StalePolicy.STOP, dnsRoutes: { routes: [route("corp.example")] } },
      });
      assert.equal((await told(place)).settings?.stalePolicy, StalePolicy.STOP);
      const record = await dnsOf(under, place);
      assert.deepEqual([record?.recordRevision, record?.routes.map(({ suffix }) => suffix)], [2n, ["corp.example"]]);
      const { revision } = await under.changes.read(place.tenantId, place.cvlanId, 0n);
      await service().updateSettings({
        ...ofCvlan(place),
        settings: { stalePolicy: StalePolicy.STOP, dnsRoutes: { routes: [route("corp.example")] } },
      });
      assert.equal((await service().getSettings(ofCvlan(place))).own?.revision, 1n);
      assert.equal((await under.changes.read(place.tenantId, place.cvlanId, 0n)).revision, revision);
    });

    it("of tenant and cluster reach every cvlan they concern and no other, by the job", async () => {
      const [place, other] = [await newPlace(under), await newPlace(under)];
      const { cvlan } = await under.as(CvlanService).createCvlan({ tenantId: place.tenantId, name: "second" });
      const second = { ...place, cvlanId: cvlan?.id ?? "" };
      const routesOf = async (of: Place) => (await dnsOf(under, of))?.routes.map(({ suffix }) => suffix).join();
      await under.working(async () => (await left()) === 0);
      const before = (await under.changes.read(other.tenantId, other.cvlanId, 0n)).revision;
      await service().updateSettings({ ...ofTenant(place), settings: { dnsRoutes: { routes: [route("a.example")] } } });
      await under.working(async () => (await left()) === 0);
      assert.deepEqual([await routesOf(place), await routesOf(second)], ["a.example", "a.example"]);
      assert.equal((await under.changes.read(other.tenantId, other.cvlanId, 0n)).revision, before);
      await service().updateSettings({ layer: CLUSTER, settings: { dnsRoutes: { routes: [route("b.example")] } } });
      await under.working(async () => (await left()) === 0);
      assert.deepEqual([await routesOf(place), await routesOf(other)], ["a.example", "b.example"]);
      assert.equal((await told(other)).decidedBy["dns_routes"], CLUSTER);
      assert.deepEqual(under.errors, []);
    });

    async function left(): Promise<number> {
      const { rows } = (await under.db.platform((tx) =>
        tx.execute(sql`select cvlan_id from publication where due union all select owner from fan_out`),
      )) as { rows: unknown[] };
      return rows.length;
    }

    it("are replaced only from the revision they were made from, and audited", async () => {
      const place = await newPlace(under);
      await service().updateSettings({ ...ofCvlan(place), settings: { mapTtlSeconds: 600 }, baseRevision: 0n });
      const late = { ...ofCvlan(place), settings: { mapTtlSeconds: 700 }, baseRevision: 0n };
      const refusal = await refusalOf(service().updateSettings(late));
      assert.deepEqual([refusal.reason, refusal.detail.field], ["SETTINGS_REVISION_CHANGED", "base_revision"]);
      assert.equal((await effective(place))?.settings?.mapTtlSeconds, 600);
      assert.ok((await audited(under, place.tenantId, place.cvlanId)).includes("ok"));
    });

    it("need the right for their layer, and the ids of it", async () => {
      const place = await newPlace(under);
      const { tenantId, cvlanId } = place;
      const permissions = new Set([Permission.CVLAN_READ, Permission.CVLAN_WRITE]);
      const narrow = { ...all, authority: { subject: "apikey:narrow", tenantId, permissions } };
      await service(narrow).updateSettings({ ...ofCvlan(place), settings: {} });
      for (const refused of [
        service(narrow).updateSettings({ ...ofTenant(place), settings: {} }),
        service(narrow).updateSettings({ layer: CLUSTER, settings: {} }),
        service(narrow).getSettings(ofTenant(place)),
      ]) {
        assert.equal((await refusalOf(refused)).reason, "PERMISSION_DENIED");
      }
      for (const wrong of [
        { layer: CLUSTER, tenantId },
        { layer: TENANT },
        { layer: TENANT, tenantId, cvlanId },
        { layer: CVLAN, tenantId },
        { layer: PLATFORM, tenantId },
      ]) {
        assert.equal((await refusalOf(service().getSettings(wrong))).reason, "SETTINGS_SCOPE");
      }
      const elsewhere = { ...ofCvlan(place), cvlanId: newId("cvlan", Date.now()) };
      assert.equal((await refusalOf(service().getSettings(elsewhere))).reason, "CVLAN_NOT_FOUND");
      const twice = { dnsRoutes: { routes: [route("a.example"), route("a.example")] } };
      const refusal = await refusalOf(service().updateSettings({ ...ofCvlan(place), settings: twice }));
      assert.equal(refusal.detail.field, "settings.dns_routes.routes[1].suffix");
    });

    it("that somebody changed in the database are not in force: nothing that rests on them goes on", async () => {
      const place = await newPlace(under);
      const { tenantId, cvlanId } = place;
      await service().updateSettings({ ...ofTenant(place), settings: { joinTokenMaxTtlSeconds: 60 } });
      await tamper(under, tenantId, `update tenant_settings set body = ''`);
      assert.equal((await refusalOf(newToken(under, place, { ttlSeconds: WEEK }))).reason, "SETTINGS_BROKEN");
      assert.equal((await refusalOf(service().getSettings(ofCvlan(place)))).reason, "SETTINGS_BROKEN");
      assert.ok(under.errors.length > 0);
      const { own } = await service().updateSettings({
        ...ofTenant(place),
        settings: { joinTokenMaxTtlSeconds: 60 },
      });
      assert.equal(own?.revision, 2n);
      await newToken(under, place, { ttlSeconds: 60 });
      await tamper(under, tenantId, `update tenant_settings set cvlan_id = '${cvlanId}'`);
      assert.equal((await refusalOf(newToken(under, place))).reason, "SETTINGS_BROKEN");
    });

    it("in a stream that somebody changed are told as they are", async () => {
      const place = await newPlace(under);
      await service().updateSettings({ ...ofCvlan(place), settings: { stalePolicy: StalePolicy.STOP } });
      // An EffectiveSettings that says nothing.
      await tamper(
        under,
        place.tenantId,
        `update change set body = decode('5200', 'hex') where object_id = 'settings'`,
      );
      assert.equal((await told(place)).settings?.stalePolicy, StalePolicy.STOP);
    });
  });
});

describe("effective settings", () => {
  const some = (): fc.Arbitrary<Settings> =>
    fc
      .record(
        {
          stalePolicy: fc.constantFrom(StalePolicy.KEEP, StalePolicy.NO_NEW_FLOWS, StalePolicy.STOP),
          mapTtlSeconds: fc.integer({ min: 60, max: 7_776_000 }),
          joinTokenMaxTtlSeconds: fc.integer({ min: 1, max: WEEK }),
        },
        { requiredKeys: [] },
      )
      .map((fields) => create(SettingsSchema, fields));
  const full = create(SettingsSchema, {
    stalePolicy: StalePolicy.KEEP,
    mapTtlSeconds: 100,
    joinTokenMaxTtlSeconds: WEEK,
    dnsRoutes: {},
  });

  it("set every field, from a layer that says so, and no layer widens a limit", () => {
    fc.assert(
      fc.property(some(), some(), some(), (cluster, tenant, cvlan) => {
        const layers = [
          { layer: PLATFORM, settings: full },
          { layer: CLUSTER, settings: cluster },
          { layer: TENANT, settings: tenant },
          { layer: CVLAN, settings: cvlan },
        ] as const;
        const { settings, decidedBy } = effectiveOf(layers);
        const by = (field: string) => layers.find(({ layer }) => layer === decidedBy[field])?.settings;
        assert.equal(settings?.stalePolicy, by("stale_policy")?.stalePolicy);
        assert.equal(
          settings?.stalePolicy,
          cvlan.stalePolicy ?? tenant.stalePolicy ?? cluster.stalePolicy ?? StalePolicy.KEEP,
        );
        assert.equal(
          settings?.mapTtlSeconds,
          cvlan.mapTtlSeconds ?? tenant.mapTtlSeconds ?? cluster.mapTtlSeconds ?? 100,
        );
        const limits = layers.flatMap(({ settings: own }) => own.joinTokenMaxTtlSeconds ?? []);
        assert.equal(settings?.joinTokenMaxTtlSeconds, Math.min(...limits));
        assert.equal(by("join_token_max_ttl_seconds")?.joinTokenMaxTtlSeconds, Math.min(...limits));
        assert.ok(settings?.dnsRoutes);
      }),
    );
  });
});
