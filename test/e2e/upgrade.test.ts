import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { TenantKeys, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { PolicyDocumentSchema } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { DiscoveryServerService, NodeService, RegionService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { create } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { ping, type SiteNode, tcp, until } from "./site/index.ts";
import { CONTROLLER_GONE, NODE_REVOKED } from "./site/loud.ts";
import { hasFormerVersion, NEEDS_FORMER, startUpgradeSite, type UpgradeSite, type Version } from "./site/upgrade.ts";

/** Pings at a time, 50 ms apart. */
const PINGS = 20;
/** What is said of a controller that is changed, of an engine that is, and by the former version of its embedded database. */
const PROVOKED = [
  ...CONTROLLER_GONE,
  /"certificate not renewed yet"/,
  /"engine failed"/,
  /"the engine does not take the map"/,
  /"the embedded database survives/,
];
/** What a machine of the former version says after a replacement of the root key. */
const NOT_FOLLOWED = [/BAD_SIGNATURE: keyset: the signature does not hold/];
const REVOKED = [...NODE_REVOKED, /the identity was revoked/, /the node is no member any more/];

const suite = (title: string, body: (this: Mocha.Suite) => void) =>
  hasFormerVersion ? describe(title, body) : describe.skip(`${title}: ${NEEDS_FORMER}`, body);

async function bothPing(a: SiteNode, b: SiteNode): Promise<void> {
  await until(`${a.name} pings ${b.name}`, async () => (await a.ping(b.name, 1, 500)) > 0);
  await until(`${b.name} pings ${a.name}`, async () => (await b.ping(a.name, 1, 500)) > 0);
}

const revisionOf = async (node: SiteNode): Promise<bigint> => (await node.status())?.engine?.map?.revision ?? 0n;

/** Fails when one ping is lost while `work` is done. */
async function underTraffic(from: SiteNode, to: string, work: () => Promise<void>): Promise<void> {
  let isDone = false;
  const lost = async (): Promise<number> => {
    let missing = 0;
    while (!isDone) missing += PINGS - (await from.ping(to, PINGS));
    return missing;
  };
  const traffic = lost();
  try {
    await work();
  } finally {
    isDone = true;
  }
  assert.equal(await traffic, 0, "no packet is lost");
}

/** Waits until a change that `work` makes has reached nodes. */
async function reaches(nodes: readonly SiteNode[], work: () => Promise<void>): Promise<void> {
  const before = await Promise.all(nodes.map(revisionOf));
  await work();
  for (const [index, node] of nodes.entries())
    await until(`${node.name} has the change`, async () => (await revisionOf(node)) > (before[index] ?? 0n));
}

const isConnected = (node: SiteNode) =>
  until(`${node.name} is connected`, async () => {
    const status = await node.status();
    return status?.controller === ControllerState.CONNECTED && status.engine?.map?.stale === false;
  });

/** Registers a discovery server, which a machine of the former version knows nothing of. */
async function addServer(api: Transport): Promise<void> {
  const { region } = await createClient(RegionService, api).createRegion({ name: "eu-west" });
  const endpoints = [{ address: "192.0.2.1", port: 3478 }];
  const request = { name: "stun-1", regionId: region?.id ?? "", endpoints };
  await createClient(DiscoveryServerService, api).createDiscoveryServer(request);
}

const knowsServer = (node: SiteNode) =>
  until(`${node.name} knows the server`, async () => (await node.status())?.engine?.relayMapServers === 1);

/** Who a machine is: a join would change it. */
async function selfOf(node: SiteNode) {
  const addresses = await until(`the engine of ${node.name} has its addresses`, async () => {
    const found = (await node.status())?.engine?.addresses ?? [];
    return found.length > 0 && found;
  });
  const { nodeId, name } = (await node.status()) ?? {};
  return { nodeId, name, addresses, keys: await readFile(join(node.state, "engine/keys"), "hex") };
}

/** Puts another agent over a machine's engine, and then another engine under it. */
async function change(from: SiteNode, to: SiteNode, between: () => Promise<void>): Promise<void> {
  await from.agent.stop();
  await to.startAgent();
  await isConnected(to);
  await between();
  await from.killEngine();
  await isConnected(to);
}

suite("a control plane of the former version and its machines are upgraded", function () {
  this.timeout(300_000);
  /** Of node certificates, seconds. With the minute by which the CA dates them back, renewal is due after 0 to 21 s. */
  const LIFETIME = 45;
  let site: UpgradeSite;
  let a: SiteNode;
  let b: SiteNode;
  let c: SiteNode;
  before(async () => {
    const services = { auth: { node_certificate_ttl_seconds: LIFETIME } };
    site = await startUpgradeSite(["hosta", "hostb", "hostc"], { store: "pglite", workers: 1, services }, [
      ...PROVOKED,
      ...NOT_FOLLOWED,
    ]);
    a = await site.machine("hosta", "former");
    b = await site.machine("hostb", "present");
    await site.tenant.apply(ping);
  });
  after(() => site?.[Symbol.asyncDispose]());

  const joined = async (node: SiteNode, joinString: string): Promise<void> => {
    await node.startAgent();
    await node.join(joinString);
  };
  const knowsNames = (node: SiteNode) =>
    until(`${node.name} answers names`, async () => ((await node.status())?.engine?.dns?.domain ?? "") !== "");
  const kept = async () => {
    const { tenantId, cvlanId } = site.tenant;
    const { nodes } = await createClient(NodeService, site.api).listNodes({ tenantId, cvlanId });
    const { policy } = await createClient(PolicyService, site.api).getPolicy({ tenantId, cvlanId });
    return { nodes, rules: policy?.document?.rules, version: policy?.version };
  };

  it("after a machine of the present version joined the former control plane", async () => {
    const { tenant, control, folder } = site;
    await joined(a, await tenant.newJoinString());
    await joined(b, await tenant.newJoinString());
    await bothPing(a, b);
    await reaches([a, b], () => tenant.apply(ping, tcp));
    const status = await b.status();
    assert.deepEqual([status?.problems, status?.controllerVersion], [[], ""]);
    const way = ["--controller", control.url, "--ca-sha256", control.caSha256, "--tenant", "upgrade"];
    const list = await b.cvlan(["node", "list", ...way, "--key-file", join(folder, "platform-owner.key")]);
    assert.match(list, /hosta.*\?.*\n.*hostb.*\?/, "a controller that knows of no presence is no error");
  });

  it("with nodes, policy and join strings kept, and no packet lost", async () => {
    const { tenant } = site;
    const early = await tenant.newJoinString();
    const before = await kept();
    await underTraffic(a, "hostb", async () => {
      await site.changeWorker(0, "present");
      await Promise.all([isConnected(a), isConnected(b)]);
    });
    assert.deepEqual(await kept(), before);
    await knowsNames(b);
    await addServer(site.api);
    await knowsServer(b);
    c = await site.machine("hostc", "former");
    await joined(c, early);
    await bothPing(c, b);
    await reaches([a, b, c], () => tenant.apply(ping));
    await bothPing(c, a);
  });

  it("and serves machines of the former version, their renewals and its own restart", async () => {
    const validUntil = async () => (await c.status())?.certificateNotAfter?.seconds ?? 0n;
    const now = await validUntil();
    await until("hostc renewed its certificate", async () => (await validUntil()) > now);
    await site.changeWorker(0, "present");
    await Promise.all([isConnected(a), isConnected(b), isConnected(c)]);
    await reaches([a, b, c], () => site.tenant.apply(ping, tcp));
    await bothPing(c, b);
  });

  it("in place, a machine of the former version, which need not join again", async () => {
    const self = await selfOf(a);
    const present = await site.machine("hosta", "present");
    await change(a, present, async () => {
      assert.deepEqual(await selfOf(present), self);
      await reaches([present], () => site.tenant.apply(ping));
      await bothPing(present, b);
    });
    assert.deepEqual(await selfOf(present), self);
    await bothPing(present, b);
    await knowsNames(present);
    await knowsServer(present);
    a = present;
  });

  it("and back, which need not join again either", async () => {
    const self = await selfOf(b);
    const former = await site.machine("hostb", "former");
    await change(b, former, async () => {
      assert.deepEqual(await selfOf(former), self);
      await reaches([former], () => site.tenant.apply(ping, tcp));
      await bothPing(former, a);
    });
    assert.deepEqual(await selfOf(former), self);
    await reaches([former], () => site.tenant.apply(ping));
    await bothPing(former, a);
    await change(former, b, () => bothPing(b, a));
    await knowsServer(b);
    assert.deepEqual(await selfOf(b), self);
    await bothPing(b, a);
  });

  it("and not back once the root key was replaced: the machine says so and keeps its keys until it is upgraded again", async () => {
    const self = await selfOf(b);
    const { tenantId } = site.tenant;
    const request = { tenantId, which: TenantKeys.ROOT };
    const { keysetVersion } = await createClient(TenantService, site.api).rotateTenantKeys(request);
    const follows = (node: SiteNode) =>
      until(`${node.name} has the keyset of the new root key`, async () => {
        return ((await node.status())?.engine?.map?.keysetVersion ?? 0n) >= keysetVersion;
      });
    await Promise.all([follows(a), follows(b)]);
    await until("hostc goes on with the map it has", async () => (await c.ping("hosta")) > 0);
    const former = await site.machine("hostb", "former");
    await b.agent.stop();
    await b.killEngine();
    await former.startAgent();
    const told = await until("hostb says that it cannot use the map", async () =>
      (await former.status())?.problems.find(({ part }) => part === "map"),
    );
    assert.match(told.message, /keyset/);
    await former.agent.stop();
    await former.killEngine();
    await b.startAgent();
    await follows(b);
    assert.deepEqual(await selfOf(b), self);
    await bothPing(b, a);
  });
});

suite("workers of the former and of the present version serve one PostgreSQL", function () {
  this.timeout(300_000);
  let site: UpgradeSite;
  let a: SiteNode;
  let b: SiteNode;
  before(async () => {
    site = await startUpgradeSite(["hosta", "hostb"], { store: "postgres", workers: 2 }, [...PROVOKED, ...REVOKED]);
    a = await site.machine("hosta", "former");
    b = await site.machine("hostb", "present");
    await site.tenant.apply(ping);
    for (const node of [a, b]) {
      await node.startAgent();
      await node.join(await site.tenant.newJoinString());
    }
    await bothPing(a, b);
  });
  after(() => site?.[Symbol.asyncDispose]());

  /** Changes the policy at each worker, and waits until both nodes have it. */
  async function bothServe(): Promise<void> {
    const { tenantId, cvlanId } = site.tenant;
    const bearer = (await readFile(join(site.folder, "platform-owner.key"), "utf8")).trim();
    for (const index of [0, 1]) {
      const connection = site.control.connectToWorker(index, { bearer });
      try {
        const document = create(PolicyDocumentSchema, { rules: index === 0 ? [ping, tcp] : [ping] });
        await reaches([a, b], async () => {
          await createClient(PolicyService, connection).applyPolicy({ tenantId, cvlanId, document });
        });
      } finally {
        connection.close();
      }
    }
  }

  it("while one after another is upgraded, and one is put back in between, without a lost packet", async () => {
    const { tenant } = site;
    const changed = async (index: number, to: Version): Promise<void> => {
      await site.changeWorker(index, to);
      await Promise.all([isConnected(a), isConnected(b)]);
      await bothServe();
    };
    await underTraffic(a, "hostb", async () => {
      await changed(1, "present");
      const bearer = (await readFile(join(site.folder, "platform-owner.key"), "utf8")).trim();
      const connection = site.control.connectToWorker(1, { bearer });
      await addServer(connection).finally(() => connection.close());
      // The former version starts on tables that the present one brought up to date; the streams move to the other.
      await changed(0, "former");
      await changed(0, "present");
    });
    // Also where a worker of the former version went over it first.
    await knowsServer(b);
    await tenant.revoke("hosta");
    await until("hostb forgets hosta", async () => (await b.peer("hosta")) === undefined);
  });
});
