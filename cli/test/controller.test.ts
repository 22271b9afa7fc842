import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  ApiKeyService,
  CertificateService,
  type CreateApiKeyRequest,
  KeyRotationStage,
  TenantKeys,
  TenantService,
} from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { PresenceService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { type ApplyPolicyRequest, PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import {
  type CreateDiscoveryServerRequest,
  type CreateJoinTokenRequest,
  CvlanService,
  DiscoveryServerService,
  EnrollmentService,
  GroupService,
  NodeService,
  RegionService,
  type UpdateDiscoveryServerRequest,
  type UpdateNodeRequest,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { cvlan, type Installation, installation } from "./installation.ts";

const uuid = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, "0")}`;
const TENANT = `tenant_${uuid(1)}`;
const CVLANS = ["office", "lab"].map((name, n) => ({
  id: `cvlan_${uuid(n)}`,
  tenantId: TENANT,
  name,
  ipv4Pool: "100.64.0.0/10",
}));
const NODES = Array.from({ length: 1_500 }, (_, n) => ({
  id: `node_${uuid(n)}`,
  tenantId: TENANT,
  name: `web${n}`,
  status: NodeStatus.ACTIVE,
  addresses: [`100.64.0.${n}`],
  tags: { env: "prod" },
}));
const REGION = { id: `region_${uuid(1)}`, name: "eu-west" };
const SERVER = {
  id: `discoveryserver_${uuid(1)}`,
  name: "stun-1",
  regionId: REGION.id,
  endpoints: [
    { address: "192.0.2.1", port: 3478 },
    { address: "2001:db8::1", port: 3479 },
  ],
};
const KEY = `cvk_${uuid(1)}_${uuid(2)}_${"s".repeat(43)}`;

describe("cvlan against a controller", function () {
  this.timeout(60_000);
  let site: Installation;
  let bearers: (string | null)[] = [];
  let updates: UpdateNodeRequest[] = [];
  let tokens: CreateJoinTokenRequest[] = [];
  let keys: CreateApiKeyRequest[] = [];
  let servers: (CreateDiscoveryServerRequest | UpdateDiscoveryServerRequest | string)[] = [];
  let policies: ApplyPolicyRequest[] = [];
  let applyPolicy: ServiceImpl<typeof PolicyService>["applyPolicy"];
  let knowsPresence = true;
  let whoami = { subject: "apikey:1", tenantId: TENANT, tenantName: "acme" };

  before(async () => {
    site = await installation((router) => {
      router.service(CertificateService, { getTrustBundle: () => ({ bundle: { roots: [...site.roots] } }) });
      router.service(ApiKeyService, {
        whoAmI: (_request, { requestHeader }) => {
          bearers.push(requestHeader.get("authorization"));
          if (requestHeader.get("authorization") !== `Bearer ${KEY}`) {
            throw new Refusal("unauthenticated", "CREDENTIAL_REFUSED", "the key is not accepted", {
              remedy: "ask for a new key",
            }).toConnectError();
          }
          return whoami;
        },
        createApiKey: (request) => {
          keys.push(request);
          return { apiKey: { id: `apikey_${uuid(9)}`, name: request.name }, secret: "cvk_new" };
        },
      });
      router.service(TenantService, {
        listTenants: () => ({ tenants: [{ id: TENANT, name: "acme" }] }),
        rotateTenantKeys: ({ tenantId, which }) => ({
          tenant: { id: tenantId, name: TenantKeys[which] },
          keysetVersion: 7n,
          ...(which === TenantKeys.ENROL && {
            rotation: { role: KeyRole.ENROL, stage: KeyRotationStage.SIGNING, left: 12n, keyId: "key_of_enrol" },
          }),
        }),
        listKeyRotations: () => ({
          rotations: [{ role: KeyRole.MAP, stage: KeyRotationStage.DONE, keyId: "key_of_map" }],
        }),
      });
      router.service(RegionService, { listRegions: () => ({ regions: [REGION] }) });
      router.service(DiscoveryServerService, {
        createDiscoveryServer: (request) => {
          servers.push(request);
          return { discoveryServer: { ...SERVER, name: request.name } };
        },
        getDiscoveryServer: () => ({ discoveryServer: SERVER }),
        listDiscoveryServers: () => ({ discoveryServers: [SERVER] }),
        updateDiscoveryServer: (request) => {
          servers.push(request);
          return { discoveryServer: SERVER };
        },
        deleteDiscoveryServer: ({ discoveryServerId }) => {
          servers.push(discoveryServerId);
          return {};
        },
      });
      router.service(CvlanService, { listCvlans: () => ({ cvlans: CVLANS }) });
      router.service(GroupService, {
        listGroups: () => ({ groups: [{ group: { id: `group_${uuid(3)}`, name: "admins" }, members: 2n }] }),
      });
      router.service(NodeService, {
        listNodes: ({ pagination }) => {
          const at = Number(pagination?.pageToken || 0);
          const end = at + (pagination?.pageSize || 100);
          return { nodes: NODES.slice(at, end), meta: { nextPageToken: end < NODES.length ? String(end) : "" } };
        },
        getNode: ({ nodeId }) => ({ node: NODES.find(({ id }) => id === nodeId) ?? {} }),
        updateNode: (request) => {
          updates.push(request);
          return { node: { name: request.name ?? "web7", tags: request.tags?.tags ?? {} } };
        },
      });
      router.service(PresenceService, {
        listPresence: ({ nodeIds }) => {
          if (!knowsPresence) throw new ConnectError("no such service", Code.Unimplemented);
          const hourAgo = timestampFromMs(Date.now() - 3_600_000);
          const known = nodeIds.filter((id) => [`node_${uuid(6)}`, `node_${uuid(7)}`].includes(id));
          return {
            nodes: known.map((nodeId) => ({
              nodeId,
              online: nodeId.endsWith("7"),
              since: hourAgo,
              lastSeen: hourAgo,
            })),
          };
        },
      });
      router.service(EnrollmentService, {
        createJoinToken: (request) => {
          tokens.push(request);
          return { token: { id: `jointoken_${uuid(4)}` }, joinString: "cvlan1.secret" };
        },
      });
      router.service(PolicyService, {
        applyPolicy: (request, context) => applyPolicy(request, context),
        getPolicy: () => ({
          policy: { version: 3n, ...(policies[0]?.document && { document: policies[0].document }) },
        }),
      });
    });
    await writeFile(join(site.folder, "key"), `${KEY}\n`, { mode: 0o600 });
  });
  after(() => site[Symbol.asyncDispose]());
  beforeEach(() => {
    knowsPresence = true;
    [bearers, updates, tokens, keys, policies, servers] = [[], [], [], [], [], []];
    whoami = { subject: "apikey:1", tenantId: TENANT, tenantName: "acme" };
    applyPolicy = (request) => {
      policies.push(request);
      return { policy: { version: 3n } };
    };
  });

  const way = () => ["--controller", site.url, "--ca", site.ca, "--key-file", join(site.folder, "key")];
  const run = (...argv: string[]) => cvlan([...argv, ...way()]);

  it("lists every page as an aligned table and as one document", async () => {
    const { code, out } = await run("node", "list", "--cvlan", "office");
    assert.equal(code, 0);
    const lines = out.trimEnd().split("\n");
    assert.equal(lines.length, 1_501);
    assert.match(lines[0] ?? "", /^NAME +ADDRESS +STATUS +ONLINE +KIND +TAGS +JOINED$/);
    assert.match(lines[7] ?? "", /^web6 +100\.64\.0\.6 +active +(59 min|1 h|60 min) ago +unspecified +env=prod +-$/);
    assert.match(lines[8] ?? "", /^web7 +100\.64\.0\.7 +active +online +unspecified +env=prod +-$/);
    assert.match(lines[1400] ?? "", /^web1399 .* active +never /);
    assert.equal(lines[0]?.indexOf("ADDRESS"), lines[8]?.indexOf("100.64"));
    const json = await run("node", "list", "--cvlan", "office", "--json");
    const document = JSON.parse(json.out) as {
      nodes: { id: string; status: string }[];
      presence?: { nodeId: string; online?: boolean }[];
    };
    assert.equal(document.nodes.length, 1_500);
    assert.equal(document.nodes[7]?.status, "NODE_STATUS_ACTIVE");
    assert.deepEqual(
      document.presence?.map(({ nodeId, online }) => [nodeId, online ?? false]),
      [
        [`node_${uuid(6)}`, false],
        [`node_${uuid(7)}`, true],
      ],
    );
    assert.match((await run("node", "show", "web7", "--cvlan", "office")).out, /online: +online\n/);
  });

  it("lists nodes also when nobody can say who is online", async () => {
    knowsPresence = false;
    const { code, out, err } = await run("node", "list", "--cvlan", "office");
    assert.equal(code, 0);
    assert.match(out, /\nweb7 +100\.64\.0\.7 +active +\? /);
    assert.match(err, /who is online cannot be told/);
    const json = await run("node", "list", "--cvlan", "office", "--json");
    assert.deepEqual([json.code, json.err], [0, ""]);
    assert.equal((JSON.parse(json.out) as { presence?: unknown }).presence, undefined);
  });

  it("makes, shows, changes and deletes discovery servers, by the names of regions, at STUN's port unless told another", async () => {
    const of = (...argv: string[]) => run("discovery-server", ...argv);
    const list = await of("list");
    assert.match(list.out, /\nstun-1 +eu-west +192\.0\.2\.1:3478, \[2001:db8::1\]:3479 +discoveryserver_/);
    const { discoveryServers } = JSON.parse((await of("list", "--json")).out) as {
      discoveryServers: { name: string }[];
    };
    assert.deepEqual(
      discoveryServers.map(({ name }) => name),
      ["stun-1"],
    );
    for (const verb of ["show", "get"]) assert.match((await of(verb, "stun-1")).out, /region: +eu-west\n/);
    const given = ["--endpoint", "192.0.2.9", "--endpoint", "[2001:db8::9]:3479", "--endpoint", "2001:db8::a"];
    assert.deepEqual(await of("create", "stun-2", "--region", "eu-west", ...given), {
      code: 0,
      out: `stun-2 ${SERVER.id}\n`,
      err: "",
    });
    assert.equal((await of("update", "stun-1", "--region", "eu-west", "--endpoint", "192.0.2.7:5")).code, 0);
    assert.equal((await of("update", "stun-1", "--name", "stun-3")).code, 0);
    assert.equal((await of("delete", "stun-1")).code, 0);
    const said = servers.map((each) =>
      typeof each === "string"
        ? each
        : [each.name, each.regionId, ...each.endpoints.map(({ address, port }) => `${address} ${port}`)],
    );
    assert.deepEqual(said, [
      ["stun-2", REGION.id, "192.0.2.9 3478", "2001:db8::9 3479", "2001:db8::a 3478"],
      [undefined, REGION.id, "192.0.2.7 5"],
      ["stun-3", undefined],
      SERVER.id,
    ]);
    assert.equal((await of("show", "stun-9")).code, 3);
    assert.equal((await of("create", "stun-2", "--region", "eu-west")).code, 2);
    assert.equal((await of("create", "stun-2", "--region", "us-east", ...given)).code, 3);
  });

  it("finds nodes by name or id, and says what is near when there is none", async () => {
    assert.match((await run("node", "show", "web7", "--cvlan", "office")).out, new RegExp(`id: +node_${uuid(7)}`));
    assert.equal((await run("node", "show", `node_${uuid(7)}`, "--cvlan", "office")).code, 0);
    const missing = await run("node", "show", "wef7", "--cvlan", "office");
    assert.equal(missing.code, 3);
    assert.match(missing.err, /no node named "wef7"[\s\S]*what next: did you mean web0/);
    const json = await run("node", "show", "nobody", "--cvlan", "office", "--json");
    assert.equal(json.out, "");
    assert.equal((JSON.parse(json.err) as { error: { reason: string } }).error.reason, "NAME_UNKNOWN");
  });

  it("asks which network when there are several", async () => {
    const { code, err } = await run("node", "list");
    assert.equal(code, 2);
    assert.match(err, /--cvlan: office, lab/);
  });

  it("changes the tags that are named and keeps the others", async () => {
    const { out } = await run("node", "tag", "web7", "tier=front", "--cvlan", "lab");
    assert.deepEqual(updates[0]?.tags?.tags, { env: "prod", tier: "front" });
    assert.equal(out, "web7: env=prod tier=front\n");
    await run("node", "tag", "web7", "env-", "--cvlan", "lab");
    assert.deepEqual(updates[1]?.tags?.tags, {});
    assert.equal((await run("node", "tag", "web7", "=x", "--cvlan", "lab")).code, 2);
  });

  it("prints a secret once, alone on standard output", async () => {
    const made = await run("token", "create", "--cvlan", "office", "--ttl", "15m", "--tag", "a=b", "--group", "admins");
    assert.equal(made.out, "cvlan1.secret\n");
    assert.match(made.err, /jointoken_/);
    assert.ok(!made.err.includes("cvlan1"));
    const [request] = tokens;
    assert.equal(request?.ttlSeconds, 900);
    assert.deepEqual(request?.tags?.tags, { a: "b" });
    assert.deepEqual(request?.groupIds, [`group_${uuid(3)}`]);
    assert.equal((await run("token", "create", "--cvlan", "office", "--ttl", "15")).code, 2);
    const key = await run("key", "create", "ci", "--allow", "node-read", "policy-write");
    assert.equal(key.out, "cvk_new\n");
    assert.deepEqual(keys[0]?.scope?.permissions, [Permission.NODE_READ, Permission.POLICY_WRITE]);
    assert.equal((await run("key", "create", "ci", "--allow", "everything")).code, 2);
  });

  it("applies a policy and shows it in the form it reads", async () => {
    const file = join(site.folder, "policy.yaml");
    await writeFile(
      file,
      [
        "rules:",
        "  - name: web",
        "    action: POLICY_ACTION_ALLOW",
        "    sources: [{ group: admins }]",
        "    destinations: [{ any: true }]",
        "    protocol: POLICY_PROTOCOL_TCP",
        "    ports: [{ first: 443 }]",
        "",
      ].join("\n"),
    );
    const applied = await run("policy", "apply", file, "--cvlan", "office", "--base-version", "2");
    assert.equal(applied.out, "version 3 in force, 1 rules\n");
    assert.equal(policies[0]?.baseVersion, 2n);
    assert.equal(policies[0]?.document?.rules[0]?.ports[0]?.first, 443);
    assert.deepEqual([policies[0]?.source?.file, policies[0]?.source?.ruleLines], ["policy.yaml", [2]]);
    const shown = await run("policy", "show", "--cvlan", "office");
    await writeFile(file, shown.out);
    await run("policy", "apply", file, "--cvlan", "office");
    assert.deepEqual(policies[1]?.document, policies[0]?.document);
  });

  it("says on which line of the file the controller found fault", async () => {
    const file = join(site.folder, "wrong.json");
    const rule = {
      name: "web",
      action: "POLICY_ACTION_ALLOW",
      sources: [{ any: true }, { group: "nobody" }],
      destinations: [{ any: true }],
      protocol: "POLICY_PROTOCOL_ANY",
    };
    await writeFile(file, JSON.stringify({ rules: [rule] }, undefined, 2));
    applyPolicy = () => {
      throw new Refusal("invalid", "TARGET_UNKNOWN", "there is no group nobody", {
        field: "document.rules[0].sources[1].group",
        remedy: "create it",
      }).toConnectError();
    };
    const { code, err } = await run("policy", "apply", file, "--cvlan", "office");
    assert.equal(code, 1);
    assert.match(err, /wrong\.json:11:11: there is no group nobody/);
    assert.match(err, /what next: create it/);
  });

  it("tells apart: not allowed, unreachable, usage", async () => {
    await writeFile(join(site.folder, "other"), "cvk_other_key_000000000000000\n", { mode: 0o600 });
    const denied = await cvlan(["cvlan", "list", ...way().slice(0, 4), "--key-file", join(site.folder, "other")]);
    assert.equal(denied.code, 5);
    assert.match(denied.err, /the key is not accepted\n {2}what next: ask for a new key/);
    const nowhere = ["--controller", "https://localhost:1", "--ca", site.ca, "--key-file", join(site.folder, "key")];
    assert.equal((await cvlan(["cvlan", "list", ...nowhere])).code, 4);
    assert.equal((await cvlan(["cvlan", "list"])).code, 2);
    assert.equal((await cvlan(["nod", "list"])).code, 2);
    assert.equal((await cvlan(["cvlan", "list", "--controller", "vpn.example.org"])).code, 2);
    assert.equal((await cvlan(["--help"])).code, 0);
  });

  it("sends its key to no server of another CA", async () => {
    const sha = createHash("sha256").update("another").digest("hex");
    const wrong = await cvlan(["cvlan", "list", ...way().slice(0, 2), "--ca-sha256", sha, ...way().slice(4)]);
    assert.equal(wrong.code, 5);
    assert.deepEqual(bearers, []);
  });

  it("tells also a wrong command line in JSON, when it is asked for", async () => {
    for (const argv of [
      ["--json", "nod"],
      ["node", "list", "--json", "--nonsense"],
      ["node", "show", "--json"],
      ["--json"],
    ]) {
      const { code, out, err } = await cvlan(argv);
      assert.equal(code, 2, argv.join(" "));
      assert.equal(out, "");
      const { error } = JSON.parse(err) as { error: { reason: string; message: string } };
      assert.equal(error.reason, "USAGE", err);
      assert.ok(error.message);
    }
    const help = await cvlan(["node", "--help", "--json"]);
    assert.equal(help.code, 0);
    assert.match(help.out, /Usage: cvlan node/);
  });

  it("replaces the root key of the caller's tenant", async () => {
    const { code, out } = await run("tenant", "rotate-root", "--json");
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(out), { tenant: { id: TENANT, name: "ROOT" }, keysetVersion: "7" });
  });

  it("replaces a key that the root key delegated, and says which there are", async () => {
    const { code, out } = await run("tenant", "rotate-key", "enrol");
    assert.equal(code, 0);
    assert.match(out, /ROLE +STAGE +LEFT/);
    assert.match(out, /enrol +signing +12 .*key_of_enrol/i);
    const listed = await run("tenant", "rotations", "--json");
    assert.deepEqual(JSON.parse(listed.out), {
      rotations: [{ role: "KEY_ROLE_MAP", stage: "KEY_ROTATION_STAGE_DONE", keyId: "key_of_map" }],
    });
    assert.equal((await run("tenant", "rotate-key", "root")).code, 2);
  });

  it("asks a key of the platform for the tenant", async () => {
    whoami = { subject: "apikey:1", tenantId: "", tenantName: "" };
    assert.equal((await run("cvlan", "list")).code, 2);
    assert.equal((await run("cvlan", "list", "--tenant", "acme")).code, 0);
    assert.equal((await run("cvlan", "list", "--tenant", "other")).code, 3);
  });

  it("remembers a login, for its owner alone", async () => {
    const configHome = join(site.folder, "config");
    const sha = createHash("sha256")
      .update(site.roots[0] ?? "")
      .digest("hex");
    const login = await cvlan(
      ["login", "--controller", site.url, "--ca-sha256", sha, "--key-file", join(site.folder, "key"), "--cvlan", "lab"],
      { configHome },
    );
    assert.equal(login.code, 0, login.err);
    const path = join(configHome, "cloudvlan", "context.json");
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await cvlan(["node", "list"], { configHome })).code, 0);
    bearers = [];
    const elsewhere = ["--controller", site.url.replace("localhost", "127.0.0.1"), "--ca", site.ca];
    const other = await cvlan(["node", "list", ...elsewhere], { configHome });
    assert.equal(other.code, 2);
    assert.match(other.err, /--key-file/);
    assert.deepEqual(bearers, [], "the remembered key went to another controller");
    await chmod(path, 0o644);
    const open = await cvlan(["node", "list"], { configHome });
    assert.equal(open.code, 2);
    assert.match(open.err, /chmod 600/);
    await chmod(path, 0o600);
    await writeFile(path, (await readFile(path, "utf8")).replace('"version"', '"verzion"'));
    assert.match((await cvlan(["node", "list"], { configHome })).err, /context\.json:2:3: verzion: unknown key/);
  });

  it("refuses a key file that others may read", async () => {
    await writeFile(join(site.folder, "open"), KEY, { mode: 0o644 });
    const { code, err } = await cvlan(["cvlan", "list", ...way().slice(0, 4), "--key-file", join(site.folder, "open")]);
    assert.equal(code, 2);
    assert.ok(!err.includes(KEY));
  });
});
