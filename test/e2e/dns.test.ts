import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { SettingsLayer } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import { CvlanService, SettingsService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { formatAddress } from "@cloudvlan/kit/net";
import { program } from "@cloudvlan/infra/site/process";
import { must, run } from "@cloudvlan/test/lab";
import { createClient } from "@connectrpc/connect";
import { allow, joinBoth, ping, type Site, type SiteNode, startSite, tcp, until } from "./site/index.ts";
import { CONTROLLER_GONE, ENGINE_KILLED } from "./site/loud.ts";

const ROUTER = "10.71.1.1";
const ORIGINAL = `# of the operator\nnameserver ${ROUTER}\nsearch example.org\n`;
const ZONE = "main.cvlan.internal";
const RULES = [ping, tcp, allow("udp", PolicyProtocol.UDP)] as const;
/** What waits and what is remembered, at the most, with room for what the allocator keeps. */
const MEMORY_CEILING = 16 * 1024 * 1024;
const script = (name: string): string => fileURLToPath(new URL(`programs/${name}`, import.meta.url));

describe("names of the overlay", function () {
  this.timeout(300_000);
  let site: Site;
  let router: AsyncDisposable;
  before(async () => {
    site = await startSite({
      store: "pglite",
      workers: 1,
      resolvConf: ORIGINAL,
      provokes: [...CONTROLLER_GONE, ...ENGINE_KILLED],
    });
    await site.tenant.apply(...RULES);
    router = await nameServer("router", (argv) => site.lab.argvOn("router", argv), ROUTER, "203.0.113.7");
    await joinBoth(site);
    for (const node of [site.a, site.b]) await until(`${node.name} resolves by its engine`, () => isOurs(node));
  });
  after(async () => {
    await router?.[Symbol.asyncDispose]();
    await site?.[Symbol.asyncDispose]();
  });

  const fileOf = (node: SiteNode) => join(site.folder, `${node.name}-etc`, "resolv.conf");
  const resolvConf = (node: SiteNode) => readFile(fileOf(node), "utf8");
  const isOurs = async (node: SiteNode) => (await resolvConf(node)).startsWith("# cvlan-agent node_");

  async function lookup(node: SiteNode, kind: "A" | "AAAA" | "PTR", name: string): Promise<string[] | string> {
    const argv = node.argvOn([process.execPath, script("lookup.ts"), kind, name]);
    return JSON.parse(await must(argv)) as string[] | string;
  }

  /** What the C library says: the first address, or undefined. */
  async function getent(node: SiteNode, ...args: readonly string[]): Promise<string | undefined> {
    const { code, stdout } = await run(node.argvOn(["getent", ...args]));
    return code === 0 ? stdout.trim().split(/\s+/)[args[0] === "hosts" ? 1 : 0] : undefined;
  }

  async function nameServer(
    name: string,
    argvOn: (argv: readonly string[]) => string[],
    address: string,
    answer: string,
  ): Promise<AsyncDisposable> {
    const argv = [process.execPath, script("name-server.ts"), address, answer];
    const server = program(argvOn(argv), join(site.folder, `${name}-dns.out`));
    await server.start();
    await until(`the name server of ${name} listens`, async () => (await server.output()).includes("listening"));
    return { [Symbol.asyncDispose]: () => server.end("SIGKILL") };
  }

  async function addressesOf(node: SiteNode): Promise<{ v4: string; v6: string }> {
    const [v4, v6] = ((await node.status())?.engine?.addresses ?? []).map(({ address }) => formatAddress(address));
    assert.ok(v4 !== undefined && v6 !== undefined && v6.includes(":"));
    return { v4, v6 };
  }

  async function resolvesPeer(node: SiteNode, other: SiteNode): Promise<boolean> {
    // The router's name server has an answer to everything.
    return (await getent(node, "ahostsv4", `${other.name}.${ZONE}`))?.startsWith("100.") ?? false;
  }

  it("are found by the programs of both machines, in both families and back", async () => {
    const { a, b } = site;
    for (const [node, other] of [
      [a, b],
      [b, a],
      [a, a],
    ] as const) {
      const { v4, v6 } = await addressesOf(other);
      assert.deepEqual(await lookup(node, "A", `${other.name}.${ZONE}`), [v4]);
      assert.deepEqual(await lookup(node, "AAAA", `${other.name}.${ZONE}`), [v6]);
      assert.deepEqual(await lookup(node, "PTR", v4), [`${other.name}.${ZONE}`]);
      assert.deepEqual(await lookup(node, "PTR", v6), [`${other.name}.${ZONE}`]);
      assert.equal(await getent(node, "ahostsv4", other.name), v4, "the overlay is searched");
      assert.equal(await getent(node, "hosts", v6), `${other.name}.${ZONE}`);
    }
    assert.equal(await lookup(a, "A", `nobody.${ZONE}`), "ENOTFOUND");
    assert.equal(await lookup(a, "PTR", "100.64.99.99"), "ENOTFOUND");
  });

  it("leave all other names to the resolvers that the host had before", async () => {
    assert.deepEqual(await lookup(site.a, "A", "www.example.com"), ["203.0.113.7"]);
    assert.deepEqual(await lookup(site.a, "A", "big.example.com"), ["203.0.113.7"]);
  });

  it("are those of the peers that policy shows, and follow the domain of the network", async () => {
    const { a, b, api, tenant } = site;
    const { tenantId, cvlanId } = tenant;
    await tenant.apply();
    await until("who is hidden has no name", async () => (await lookup(a, "A", `${b.name}.${ZONE}`)) === "ENOTFOUND");
    await tenant.apply(...RULES);
    await until("who is shown again has one", () => resolvesPeer(a, b));
    const cvlans = createClient(CvlanService, api);
    const rename = (dnsDomain: string) => cvlans.updateCvlan({ tenantId, cvlanId, dnsDomain });
    await rename("lan.example.org");
    const { v4 } = await addressesOf(b);
    await until("the new domain is searched", async () => (await resolvConf(a)).includes("search lan.example.org "));
    assert.equal(await getent(a, "ahostsv4", b.name), v4);
    assert.deepEqual(await lookup(a, "A", `${b.name}.${ZONE}`), ["203.0.113.7"], "the old domain is others' again");
    await rename(ZONE);
    await until("the former domain is back", () => resolvesPeer(a, b));
  });

  it("under the suffixes of the settings are asked of their upstreams, through the tunnel where these are peers", async () => {
    const { a, b, api, tenant, network } = site;
    const { tenantId, cvlanId } = tenant;
    const [inside, outside] = [(await addressesOf(b)).v4, network.hostAddresses.hostb];
    const on = (argv: readonly string[]) => site.lab.argvOn(b.name, argv);
    await using _inside = await nameServer("inside", on, inside, "203.0.113.8");
    await using _outside = await nameServer("outside", on, outside, "203.0.113.9");
    const settings = createClient(SettingsService, api);
    const route = (suffix: string, upstream: string) => ({ suffix, upstreams: [{ address: upstream }] });
    const set = (...routes: readonly ReturnType<typeof route>[]) =>
      settings.updateSettings({
        layer: SettingsLayer.CVLAN,
        tenantId,
        cvlanId,
        settings: { dnsRoutes: { routes: [...routes] } },
      });
    const finds = (name: string, answer: string) =>
      until(`${name} is ${answer}`, async () => String(await lookup(a, "A", name)) === answer);

    await set(route("corp.example", inside), route("lab.corp.example", outside));
    await finds("www.corp.example", "203.0.113.8");
    await finds("big.corp.example", "203.0.113.8");
    await finds("www.lab.corp.example", "203.0.113.9");
    await finds("corp.example", "203.0.113.8");
    await finds("www.notcorp.example", "203.0.113.7");
    assert.equal(await getent(a, "ahostsv4", "www.corp.example"), "203.0.113.8");

    await tenant.apply(ping);
    // Each name once: what was answered before is remembered.
    let asked = 0;
    await until("policy holds for upstreams too", async () => {
      asked += 1;
      return (await lookup(a, "A", `n${asked}.corp.example`)) === "ESERVFAIL";
    });
    await finds("late.lab.corp.example", "203.0.113.9");
    assert.ok(await resolvesPeer(a, b));
    await tenant.apply(...RULES);
    await finds("late.corp.example", "203.0.113.8");

    await set(route("corp.example", outside));
    await finds("www.corp.example", "203.0.113.9");
    await set();
    await finds("www.corp.example", "203.0.113.7");
  });

  it("cost a flood and garbage, not the machine", async () => {
    const { a, b } = site;
    const status = (await a.status())?.engine;
    const listen = status?.dns?.listen?.address ?? "";
    const before = await a.engineMemory();
    await must(a.argvOn([process.execPath, script("dns-flood.ts"), listen, "40000"]));
    await until("names are answered", () => resolvesPeer(a, b));
    const grown = (await a.engineMemory()) - before;
    process.stderr.write(`# the engine holds ${before} bytes, and ${grown} more after 40,000 datagrams\n`);
    assert.ok(grown < MEMORY_CEILING, `${grown} bytes`);
    assert.ok((await a.counter("dns_malformed")) > 0n);
    assert.ok((await a.counter("dns_queries")) > 1_000n);
    assert.ok((await a.ping("hostb")) > 0);
  });

  it("are found without agent and controller, and after a reboot without controller", async () => {
    const { a, b, control } = site;
    await control.workers[0]?.end("SIGKILL");
    await a.agent.end("SIGKILL");
    assert.ok(await resolvesPeer(a, b));
    await a.killEngine();
    assert.equal(await resolvesPeer(a, b), false, "the engine is really gone");
    await a.startAgent();
    await until("the rebooted node resolves", () => resolvesPeer(a, b));
    assert.ok(await isOurs(a));
  });

  it("leave the host's file as it was, or as the next start expects, whatever is killed when", async () => {
    const { a, b } = site;
    for (let round = 0; round < 5; round += 1) {
      if (round % 2 === 0) await a.killEngine();
      await delay(randomInt(400));
      await a.agent.end("SIGKILL");
      if (round % 3 === 1) await a.killEngine();
      const left = await resolvConf(a);
      assert.ok(left === ORIGINAL || (await isOurs(a)), left);
      await a.startAgent();
      await until("names are found again", async () => (await isOurs(a)) && (await resolvesPeer(a, b)));
    }
    await a.agent.end("SIGKILL");
    await a.errand("--restore-host");
    assert.ok(await isOurs(a), "the engine still answers");
    await a.killEngine();
    await a.errand("--restore-host");
    assert.equal(await resolvConf(a), ORIGINAL);
    await a.startAgent();
    await until("names are found again", () => resolvesPeer(a, b));
    await a.agent.end("SIGTERM");
    assert.ok(await isOurs(a));
    await a.errand("--stop-engine");
    assert.equal(await resolvConf(a), ORIGINAL);
    await writeFile(fileOf(b), ORIGINAL.replace(ROUTER, `${ROUTER}\nnameserver 192.0.2.1`));
    await until("another program's servers are asked, and ours is set again", () => isOurs(b));
  });
});
