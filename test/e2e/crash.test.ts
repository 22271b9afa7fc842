import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { createClient } from "@connectrpc/connect";
import { joinBoth, ping, type Site, startSite, tcp, until } from "./site/index.ts";
import { type HostNetwork, hostNetwork, without } from "./site/host-network.ts";
import { ENGINE_KILLED } from "./site/loud.ts";
import { generator } from "./site/random.ts";

const ROUNDS = 16;
/** Milliseconds from a start, or from a change, within which a blow falls: both take about a second. */
const WINDOW_MS = 1_500;
const INTERFACE = "cvlan0";
/** Behind hostb. */
const NETWORKS = ["10.51.0.0/16", "10.52.3.0/24", "fd00:51::/48"] as const;
/** Who is killed, in order. */
const BLOWS = [["agent"], ["engine"], ["agent", "engine"], ["engine", "agent"]] as const;

describe("addresses and routes of a host", function () {
  this.timeout(600_000);
  const seed = Number(process.env["CLOUDVLAN_SEED"] ?? randomInt(2 ** 31));
  let site: Site;
  /** As it was before this machine was a node. */
  let plain: HostNetwork;
  /** As it is with the networks behind hostb, and without them. */
  let wide: HostNetwork;
  let narrow: HostNetwork;

  const now = (): Promise<HostNetwork> => hostNetwork((argv) => site.a.argvOn(argv));

  /** Gives hostb its networks or takes them. */
  async function change(isWide: boolean): Promise<void> {
    const { tenant, api } = site;
    const routes = isWide ? NETWORKS.map((prefix) => ({ prefix })) : [];
    const nodeId = await tenant.nodeId("hostb");
    await createClient(NodeService, api).updateNode({ tenantId: tenant.tenantId, nodeId, routes: { routes } });
  }

  /** Waits until the host is as wanted; `work` is done before each look. */
  async function reaches(what: string, wanted: HostNetwork, work?: () => Promise<void>): Promise<void> {
    let last: HostNetwork | undefined;
    await until(what, async () => {
      await work?.();
      last = await now();
      return JSON.stringify(last) === JSON.stringify(wanted);
    }).catch(() => assert.deepEqual(last, wanted, `${what} (seed ${seed})`));
  }

  before(async () => {
    site = await startSite({
      store: "pglite",
      workers: 1,
      // An agent that is started this often reports its endpoints too often.
      provokes: [...ENGINE_KILLED, /"endpoints not reported yet"/],
    });
    plain = await now();
    await site.tenant.apply(ping, tcp);
    await joinBoth(site);
    await until("hosta has addresses of both families and routes", async () => {
      const { addresses, routes } = without(await now(), plain);
      return addresses.length === 2 && routes.length > 2;
    });
    narrow = await now();
    await change(true);
    await until(
      "hosta has the routes behind hostb",
      async () => without(await now(), narrow).routes.length === NETWORKS.length,
    );
    wide = await now();
  });
  after(() => site?.[Symbol.asyncDispose]());

  it("are those of before, and what is on our interface, which goes with the engine", () => {
    assert.deepEqual(without(plain, wide), { addresses: [], routes: [], rules: [] });
    const ours = without(wide, plain);
    assert.deepEqual(ours.rules, []);
    for (const line of [...ours.addresses, ...ours.routes]) assert.ok(line.includes(` dev ${INTERFACE}`), line);
  });

  it("are as before, or as the next start expects, whenever agent and engine are killed", async () => {
    const { a, b } = site;
    const draw = generator(seed);
    let isWide = true;
    for (let round = 0; round < ROUNDS; round += 1) {
      const blow = BLOWS[draw(BLOWS.length)] ?? assert.fail();
      const what = `round ${round}, ${blow.join(" then ")}`;
      isWide = draw(2) === 0;
      const work = change(isWide);
      await delay(draw(WINDOW_MS));
      for (const victim of blow) {
        if (victim === "agent") await a.agent.end("SIGKILL");
        else await a.killEngine();
        await delay(draw(2) * draw(200));
      }
      await work;

      if (!a.agent.running) {
        // One that was just being started comes up yet.
        if (blow.length > 1) await reaches(`${what}: hosta is as before`, plain, () => a.killEngine());
        else assert.deepEqual(without(plain, await now()), { addresses: [], routes: [], rules: [] }, what);
        await a.startAgent();
        // The next blow may fall while the one before is being mended.
        if (draw(3) === 0) continue;
      }
      await reaches(`${what}: hosta has what its map says`, isWide ? wide : narrow);
      await until(`${what}: hosta pings hostb`, async () => (await a.ping("hostb", 1, 500)) > 0);
      assert.equal(await b.ping("hosta"), 1, what);
    }
    await reaches("hosta has what its map says in the end", isWide ? wide : narrow);
    await until("hosta has no problem left", async () => (await a.status())?.problems.length === 0, 120_000);
    assert.equal((await a.status())?.engine?.map?.damage, "");
    await a.agent.end("SIGKILL");
    await a.killEngine();
    assert.deepEqual(await now(), plain);
  });
});
