import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TenantKeys, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { fetchTrustBundle } from "@cloudvlan/kit/client";
import { certificatesOf } from "@cloudvlan/kit/pki";
import { run } from "@cloudvlan/test/lab";
import { createClient } from "@connectrpc/connect";
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
      provokes: [/"why":"the client certificate is not accepted"/],
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
});
