import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { type KeyRotation, KeyRotationStage, TenantKeys, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { EngineService } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { KeysetSchema, type MapUpdate, MapUpdateSchema, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { CvlanService, DiscoveryServerService, RegionService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { engineTransport } from "@cloudvlan/agent/engine";
import { fetchTrustBundle } from "@cloudvlan/kit/client";
import { systemClock } from "@cloudvlan/kit/clock";
import { certificatesOf } from "@cloudvlan/kit/pki";
import { run } from "@cloudvlan/test/lab";
import { ConnectError, createClient } from "@connectrpc/connect";
import { CONTROLLER_GONE } from "./site/loud.ts";
import { joinBoth, ping, type Site, type SiteNode, startSite, until } from "./site/index.ts";

/** Pings of one stream, 50 ms apart. */
const PINGS = 100;

const ADMIN = fileURLToPath(new URL("../../services/all/admin.ts", import.meta.url));

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

async function keysetVersion(node: SiteNode): Promise<bigint> {
  return (await node.status())?.engine?.map?.keysetVersion ?? 0n;
}

/** Fails when one ping of a stream is lost while `work` is done. */
async function underTraffic({ a }: Site, work: () => Promise<void>): Promise<void> {
  const answers = a.ping("hostb", PINGS);
  await work();
  assert.equal(await answers, PINGS, "no packet is lost");
}

describe("a tenant's root key is replaced", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({ store: "postgres", workers: 2 });
    await site.tenant.apply(ping);
  });
  after(() => site?.[Symbol.asyncDispose]());

  async function rotate(): Promise<bigint> {
    const { tenantId } = site.tenant;
    const tenants = createClient(TenantService, site.api);
    return (await tenants.rotateTenantKeys({ tenantId, which: TenantKeys.ROOT })).keysetVersion;
  }

  const follows = (node: SiteNode, version: bigint) =>
    until(`${node.name} has the keyset of the new root key`, async () => (await keysetVersion(node)) >= version);

  const rootOf = async (node: SiteNode): Promise<string> => {
    const { root_public_key } = JSON.parse(await readFile(join(node.state, "agent.json"), "utf8")) as {
      root_public_key: string;
    };
    return root_public_key;
  };

  it("and a join string of before still enrols", async () => {
    const { tenant, a, b } = site;
    await a.join(await tenant.newJoinString());
    const older = await tenant.newJoinString();
    await rotate();
    await rotate();
    await b.join(older);
    assert.notEqual(await rootOf(a), await rootOf(b), "each pinned the root key of its time");
    await until("hosta pings hostb", async () => (await a.ping("hostb")) > 0);
    await until("hostb pings hosta", async () => (await b.ping("hosta")) > 0);
  });

  it("without a lost packet", async () => {
    const { a, b } = site;
    await underTraffic(site, async () => {
      const version = await rotate();
      await Promise.all([follows(a, version), follows(b, version)]);
    });
  });

  it("several times while a node is away, which follows when it is back, and after a restart of its engine", async () => {
    const { a, b } = site;
    const ids = [(await a.status())?.nodeId, (await b.status())?.nodeId];
    await b.agent.end("SIGKILL");
    await underTraffic(site, async () => {
      let version = 0n;
      for (let turn = 0; turn < 3; turn++) version = await rotate();
      await follows(a, version);
      await b.startAgent();
      await follows(b, version);
    });
    const pinned = await rootOf(b);
    await b.agent.end("SIGKILL");
    await b.killEngine();
    await b.startAgent();
    await until("hosta pings hostb again", async () => (await a.ping("hostb", 1, 500)) > 0);
    await follows(b, await rotate());
    assert.equal(await rootOf(b), pinned, "the agent need not know of it");
    assert.deepEqual([(await a.status())?.nodeId, (await b.status())?.nodeId], ids);
    for (const node of [a, b]) assert.doesNotMatch(await node.agent.output(), /ROOT_GAP|BAD_SIGNATURE/);
  });
});

/** Fails when one ping is lost until `work` is done. */
async function throughoutTraffic({ a }: Site, work: () => Promise<void>): Promise<void> {
  let isDone = false;
  const working = work().finally(() => (isDone = true));
  do assert.equal(await a.ping("hostb", PINGS), PINGS, "no packet is lost");
  while (!isDone);
  await working;
}

describe("the keys that sign for a tenant are replaced", function () {
  this.timeout(300_000);
  const ALL = [TenantKeys.ENROL, TenantKeys.POLICY, TenantKeys.MAP];
  let site: Site;
  let nodeIds: (string | undefined)[];
  before(async () => {
    site = await startSite({
      store: "postgres",
      workers: 2,
      provokes: [...CONTROLLER_GONE, /UNKNOWN_KEY: \w+: the keyset has no key/],
    });
    const { tenant, api } = site;
    await tenant.apply(ping);
    await joinBoth(site);
    nodeIds = await idsNow();
    // A network that no node ever looked at has a signed record too.
    await createClient(CvlanService, api).createCvlan({ tenantId: tenant.tenantId, name: "empty" });
    const { region } = await createClient(RegionService, api).createRegion({ name: "eu-west" });
    await createClient(DiscoveryServerService, api).createDiscoveryServer({
      name: "stun-1",
      regionId: region?.id ?? "",
      endpoints: [{ address: "192.0.2.1", port: 3478 }],
    });
    for (const node of [site.a, site.b])
      await until(`${node.name} has the relay map`, async () => (await node.status())?.engine?.relayMapServers === 1);
  });
  after(() => site?.[Symbol.asyncDispose]());

  const idsNow = async () => [(await site.a.status())?.nodeId, (await site.b.status())?.nodeId];
  const rotate = async (which: TenantKeys): Promise<KeyRotation> => {
    const { tenantId } = site.tenant;
    const { rotation } = await createClient(TenantService, site.api).rotateTenantKeys({ tenantId, which });
    assert.ok(rotation);
    return rotation;
  };

  /** Waits until the rotations that were asked for are done. @returns their new keys */
  async function done(asked: readonly KeyRotation[]): Promise<string[]> {
    const { tenantId } = site.tenant;
    const keyIds: string[] = [];
    await until("every key is replaced", async () => {
      const { rotations } = await createClient(TenantService, site.api).listKeyRotations({ tenantId });
      const ours = asked.flatMap(
        ({ role, startedAt }) =>
          rotations.find((each) => each.role === role && each.startedAt?.seconds === startedAt?.seconds) ?? [],
      );
      keyIds.splice(0, keyIds.length, ...ours.map(({ keyId }) => keyId));
      return ours.length === asked.length && ours.every(({ stage }) => stage === KeyRotationStage.DONE);
    });
    return keyIds;
  }

  /** The whole map of hosta as a worker serves it, and the keys of its keyset. */
  async function servedMap(): Promise<{ readonly map: MapUpdate; readonly keyIds: string[] }> {
    const certificate = certificatesOf(await readFile(join(site.a.state, "tls.pem"), "utf8"));
    const key = await readFile(join(site.a.state, "tls.key"), "utf8");
    const connection = site.control.connectToWorker(0, { certificate, key });
    try {
      const { updates } = await createClient(NetmapService, connection).poll({});
      const [map, more] = updates;
      assert.ok(map?.full && !more);
      const { payload } = fromBinary(SignedSchema, map.keyset);
      return { map, keyIds: fromBinary(KeysetSchema, payload).keys.map(({ keyId }) => keyId) };
    } finally {
      connection.close();
    }
  }

  const follow = async (nodes: readonly SiteNode[]): Promise<void> => {
    const { version } = await keysetNow();
    for (const node of nodes)
      await until(`${node.name} has the keyset of now`, async () => (await keysetVersion(node)) >= version);
  };
  const keysetNow = async () => {
    const { payload } = fromBinary(SignedSchema, (await servedMap()).map.keyset);
    return fromBinary(KeysetSchema, payload);
  };

  it("without a lost packet, and the former keys sign nothing any more", async () => {
    const { a, b } = site;
    const former = await servedMap();
    let keyIds: string[] = [];
    await throughoutTraffic(site, async () => {
      const asked = await Promise.all(ALL.map(rotate));
      const again = await rotate(TenantKeys.ENROL);
      assert.deepEqual(again.formerKeyIds, asked[0]?.formerKeyIds, "it goes on with what is under way");
      keyIds = await done(asked);
      await follow([a, b]);
    });
    const present = await servedMap();
    assert.deepEqual(present.keyIds.toSorted(), keyIds.toSorted(), "the former keys left the keyset");
    assert.ok(former.keyIds.every((keyId) => !keyIds.includes(keyId)));
    const signers = ({ nodes, rules, dns, relayMap, head }: MapUpdate) =>
      [...nodes, ...rules, dns, relayMap, head].map((bytes) => fromBinary(SignedSchema, bytes).keyId);
    for (const { map } of [former, present])
      assert.equal(signers(map).length, 6, "two nodes, a rule, the names, the relay map and the head");
    assert.ok(signers(present.map).every((keyId) => keyIds.includes(keyId)));
    assert.deepEqual(await idsNow(), nodeIds);

    // The engine takes steps from one agent at a time.
    await a.agent.end("SIGKILL");
    using transport = engineTransport(join(a.state, "engine", "engine.sock"), systemClock);
    const engine = createClient(EngineService, transport);
    const { revision, head, nodes, rules, dns, relayMap } = present.map;
    const step = async (part: MessageInitShape<typeof MapUpdateSchema>) => {
      const generation = ((await engine.getStatus({ withoutPeers: true })).status?.generation ?? 0n) + 1n;
      return engine.apply({
        generation,
        updates: [create(MapUpdateSchema, { previous: revision, revision, head, ...part })],
      });
    };
    await step({ nodes, rules, dns, relayMap });
    for (const part of [
      { nodes: former.map.nodes },
      { rules: former.map.rules },
      { dns: former.map.dns },
      { relayMap: former.map.relayMap },
      { head: former.map.head },
    ]) {
      const refused = await step(part).then(
        () => undefined,
        (error: unknown) => ConnectError.from(error),
      );
      const said = refused?.message ?? "it was taken";
      assert.ok(said.includes("the keyset has no key"), `${Object.keys(part).join()}: ${said}`);
    }
    await a.startAgent();
    await until("hosta pings hostb", async () => (await a.ping("hostb")) > 0);
  });

  it("while a node is away, and it comes back as the same", async () => {
    const { a, b } = site;
    await b.agent.end("SIGKILL");
    await b.killEngine();
    await done(await Promise.all(ALL.map(rotate)));
    await done(await Promise.all(ALL.map(rotate)));
    await b.startAgent();
    await until("hosta pings hostb again", async () => (await a.ping("hostb", 1, 500)) > 0);
    await until("hostb pings hosta again", async () => (await b.ping("hosta", 1, 500)) > 0);
    await follow([a, b]);
    assert.deepEqual(await idsNow(), nodeIds);
    assert.doesNotMatch(await b.agent.output(), /UNKNOWN_KEY|BAD_SIGNATURE|OLD_/);
  });

  it("by workers that are killed while they do it, and start again", async () => {
    const { a, b, control } = site;
    const [first, second] = control.workers;
    assert.ok(first && second);
    const asked = await Promise.all(ALL.map(rotate));
    await Promise.all([first.end("SIGKILL"), second.end("SIGKILL")]);
    await control.startWorker(0);
    await control.startWorker(1);
    await done(asked);
    await follow([a, b]);
    assert.ok((await b.ping("hosta")) > 0);
    assert.deepEqual(await idsNow(), nodeIds);
  });
});

describe("the root of the CA is replaced", function () {
  this.timeout(300_000);
  /** Of certificates, seconds. */
  const LIFETIME = 10;
  let site: Site;
  before(async () => {
    site = await startSite({
      store: "pglite",
      workers: 1,
      services: { auth: { node_certificate_ttl_seconds: LIFETIME, service_certificate_ttl_seconds: LIFETIME } },
      // Of hostb, which is away longer than its certificate lives.
      provokes: [
        /"why":"the client certificate is not accepted"/,
        /"why":"[^"]* is not who it should be/,
        /"this node was revoked; it tries again rarely"/,
        // A report that is under way when the certificate is renewed, each second here, ends with its connection.
        /"why":"connection aborted","msg":"endpoints not reported yet"/,
      ],
    });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  /** Runs one step of the offline program and says what it says. */
  async function admin(stage: string): Promise<{ code: number | undefined; said: string }> {
    const config = join(site.folder, "worker-0.yaml");
    const { code, stdout, stderr } = await run([process.execPath, ADMIN, "rotate-ca", stage, "--config", config]);
    return { code, said: stdout + stderr };
  }

  const succeeds = (stage: string) =>
    until(`the step ${stage} is done`, async () => {
      const { code, said } = await admin(stage);
      if (code !== 0) assert.match(said, /try again after/);
      return code === 0;
    });
  const rootsOf = async (node: SiteNode) => certificatesOf(await readFile(join(node.state, "roots.pem"), "utf8"));
  const trusts = (node: SiteNode, roots: number) =>
    until(`${node.name} trusts ${roots} roots`, async () => (await rootsOf(node)).length === roots);
  const isRenewed = async (node: SiteNode): Promise<void> => {
    const validUntil = async () => (await node.status())?.certificateNotAfter?.seconds ?? 0n;
    const now = await validUntil();
    await until(`${node.name} has a newer certificate`, async () => (await validUntil()) > now);
  };

  it("before it issues, with nobody left behind and no packet lost", async () => {
    const { control, a, b } = site;
    const [former] = await rootsOf(a);
    assert.ok(former);
    const ids = [(await a.status())?.nodeId, (await b.status())?.nodeId];
    await underTraffic(site, async () => {
      assert.equal((await admin("prepare")).code, 0);
      const early = await admin("switch");
      assert.equal(early.code, 75, early.said);
      assert.match(early.said, /try again after/);
      await Promise.all([trusts(a, 2), trusts(b, 2)]);
    });
    await b.agent.end("SIGKILL");
    await underTraffic(site, async () => {
      await succeeds("switch");
      await control.ca.stop();
      await control.ca.start();
      await isRenewed(a);
    });
    assert.equal((await fetchTrustBundle(control.url, sha256(former))).length, 2, "an older join string leads to both");
    await b.startAgent();
    await isRenewed(b);
    await underTraffic(site, async () => {
      await succeeds("retire");
      await Promise.all([trusts(a, 1), trusts(b, 1)]);
    });
    for (const node of [a, b]) {
      const [present] = await rootsOf(node);
      assert.ok(present && Buffer.compare(present, former) !== 0);
      await isRenewed(node);
    }
    assert.deepEqual([(await a.status())?.nodeId, (await b.status())?.nodeId], ids);
    assert.ok((await b.ping("hosta")) > 0);
  });

  /** True when the controller's listener shows a certificate that leads to the root. */
  const isTrustedBy = async (root: Uint8Array): Promise<boolean> => {
    const { hostname, port } = new URL(site.control.url);
    const ca = new X509Certificate(root).toString();
    const socket = connect({ host: hostname, port: Number(port), ca, rejectUnauthorized: false });
    try {
      await once(socket, "secureConnect");
      return socket.authorized;
    } finally {
      socket.destroy();
    }
  };

  it("while a node is away, which finds the new root by the former one, until that is gone and it has to join again", async () => {
    const { control, a, b } = site;
    const ids = [(await a.status())?.nodeId, (await b.status())?.nodeId];
    const replace = async (): Promise<void> => {
      assert.equal((await admin("prepare")).code, 0);
      await trusts(a, 2);
      await succeeds("switch");
      await control.ca.stop();
      await control.ca.start();
      await isRenewed(a);
    };
    await b.agent.end("SIGKILL");
    await replace();
    const [known, ...others] = await rootsOf(b);
    assert.ok(known && others.length === 0, "it heard of no other root");
    await until("the controller shows a certificate of the new root", async () => !(await isTrustedBy(known)));
    await b.startAgent();
    await until("hostb finds the new root", async () =>
      /has a new root, which the former one certified/.test(await b.agent.output()),
    );
    await isRenewed(b);
    await succeeds("retire");
    await Promise.all([trusts(a, 1), trusts(b, 1)]);
    assert.deepEqual([(await a.status())?.nodeId, (await b.status())?.nodeId], ids);

    await b.agent.end("SIGKILL");
    await replace();
    await succeeds("retire");
    await trusts(a, 1);
    await b.startAgent();
    await until("hostb says what to do", async () => {
      const status = await b.status();
      return /join (the machine )?again/.test(
        JSON.stringify(status, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
      );
    });
  });
});
