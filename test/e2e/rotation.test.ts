import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { TenantKeys, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { createClient } from "@connectrpc/connect";
import { ping, type Site, type SiteNode, startSite, until } from "./site/index.ts";

/** Pings of one stream, 50 ms apart. */
const PINGS = 100;

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
