import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toJson } from "@bufbuild/protobuf";
import { ApiKeyService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { StalePolicy } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { SettingsLayer, SettingsSchema } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import {
  CvlanService,
  type GetSettingsRequest,
  SettingsService,
  type UpdateSettingsRequest,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { cvlan, type Installation, installation } from "./installation.ts";

const TENANT = "tenant_01890000-0000-7000-8000-000000000001";
const CVLAN = "cvlan_01890000-0000-7000-8000-000000000002";
const KEY = `cvk_platform_01890000-0000-7000-8000-000000000003_${"s".repeat(43)}`;

describe("cvlan settings", function () {
  this.timeout(60_000);
  let site: Installation;
  let asked: GetSettingsRequest[] = [];
  let updates: UpdateSettingsRequest[] = [];

  before(async () => {
    site = await installation((router) => {
      router.service(ApiKeyService, { whoAmI: () => ({ subject: "apikey:1", tenantId: TENANT, tenantName: "acme" }) });
      router.service(CvlanService, { listCvlans: () => ({ cvlans: [{ id: CVLAN, tenantId: TENANT, name: "main" }] }) });
      router.service(SettingsService, {
        getSettings: (request) => {
          asked.push(request);
          return {
            own: { layer: request.layer, revision: 4n, settings: { mapTtlSeconds: 604_800 } },
            effective: {
              settings: {
                stalePolicy: StalePolicy.NO_NEW_FLOWS,
                mapTtlSeconds: 604_800,
                joinTokenMaxTtlSeconds: 3_600,
                dnsRoutes: { routes: [{ suffix: "corp.example", upstreams: [{ address: "fd00::53", port: 5353 }] }] },
              },
              decidedBy: {
                stale_policy: SettingsLayer.CLUSTER,
                map_ttl_seconds: SettingsLayer.CVLAN,
                join_token_max_ttl_seconds: SettingsLayer.TENANT,
                dns_routes: SettingsLayer.PLATFORM,
              },
            },
          };
        },
        updateSettings: (request) => {
          updates.push(request);
          const { layer, settings } = request;
          return { own: { layer, revision: 5n, ...(settings && { settings }) } };
        },
      });
    });
    await writeFile(join(site.folder, "key"), `${KEY}\n`, { mode: 0o600 });
  });
  after(() => site[Symbol.asyncDispose]());
  beforeEach(() => {
    [asked, updates] = [[], []];
  });

  const run = (...argv: string[]) =>
    cvlan([...argv, "--controller", site.url, "--ca", site.ca, "--key-file", join(site.folder, "key")]);
  const sent = () => updates.map(({ settings }) => settings && toJson(SettingsSchema, settings));

  it("shows what is in force, who decides it, and what the layer itself sets", async () => {
    const { code, out } = await run("settings", "show");
    assert.equal(code, 0);
    const lines = out.split("\n");
    assert.match(lines[0] ?? "", /^SETTING +IN FORCE +DECIDED BY +SET BY THE CVLAN$/);
    assert.match(lines[1] ?? "", /^stale-policy +no-new-flows +cluster +-$/);
    assert.match(lines[2] ?? "", /^map-ttl +7 d +cvlan +7 d$/);
    assert.match(lines[3] ?? "", /^join-token-max-ttl +60 min +tenant +-$/);
    assert.match(lines[4] ?? "", /^dns-route +corp\.example@\[fd00::53\]:5353 +platform +-$/);
    const json = await run("settings", "show", "--layer", "cluster", "--json");
    assert.equal((JSON.parse(json.out) as { own: { revision: string } }).own.revision, "4");
    assert.deepEqual(
      asked.map(({ layer, tenantId, cvlanId }) => [layer, tenantId, cvlanId]),
      [
        [SettingsLayer.CVLAN, TENANT, CVLAN],
        [SettingsLayer.CLUSTER, "", ""],
      ],
    );
  });

  it("changes what is named, keeps the rest, and goes by what it read", async () => {
    const { code, out } = await run(
      "settings",
      "set",
      "stale-policy=stop",
      "dns-route=a.example@10.0.0.53,[fd00::53]:5353",
      "dns-route=b.example@10.0.0.54:53",
    );
    assert.deepEqual(
      [code, out.startsWith("revision 5: stale-policy=stop map-ttl=7 d dns-route=a.example@")],
      [0, true],
    );
    assert.equal(updates[0]?.baseRevision, 4n);
    assert.deepEqual(sent(), [
      {
        stalePolicy: "STALE_POLICY_STOP",
        mapTtlSeconds: 604_800,
        dnsRoutes: {
          routes: [
            { suffix: "a.example", upstreams: [{ address: "10.0.0.53" }, { address: "fd00::53", port: 5353 }] },
            { suffix: "b.example", upstreams: [{ address: "10.0.0.54", port: 53 }] },
          ],
        },
      },
    ]);
    await run("settings", "set", "dns-route=none", "join-token-max-ttl=1h", "--layer", "tenant");
    assert.deepEqual(sent()[1], { mapTtlSeconds: 604_800, joinTokenMaxTtlSeconds: 3_600, dnsRoutes: {} });
    assert.deepEqual([updates[1]?.layer, updates[1]?.cvlanId], [SettingsLayer.TENANT, ""]);
    const unset = await run("settings", "unset", "map-ttl");
    assert.equal(unset.out, "revision 5: nothing is set here\n");
    assert.deepEqual(sent()[2], {});
  });

  it("says what is wrong before it asks anybody", async () => {
    for (const argv of [
      ["set", "stale=stop"],
      ["set", "stale-policy=never"],
      ["set", "map-ttl=7"],
      ["set", "map-ttl"],
      ["set", "dns-route=corp.example"],
      ["unset", "everything"],
      ["set", "map-ttl=7d", "--layer", "platform"],
      ["show", "--layer", "node"],
    ]) {
      const { code, err } = await run("settings", ...argv);
      assert.equal(code, 2, argv.join(" "));
      assert.ok(err.length > 0);
    }
    assert.deepEqual([asked, updates], [[], []]);
  });
});
