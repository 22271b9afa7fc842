import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PolicyAction, PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { InterfaceKind } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { program } from "@cloudvlan/infra/site/process";
import { allow, anyone, joinBoth, ping, type Site, type SiteNode, startSite, tcp, until } from "./site/index.ts";

const SERVICE = 8_080;
const DENIED = 8_081;
const PROXY = "1080";
const INTO = 9_000;
const INTO_UDP = 9_053;
const udp = allow("udp", PolicyProtocol.UDP);

const script = (name: string): string =>
  fileURLToPath(new URL(`../../infra/start/traffic/${name}.ts`, import.meta.url));

const fromOverlay = (protocol: string, listen: number) => ({
  direction: "from_overlay",
  protocol,
  listen,
  target: `127.0.0.1:${SERVICE}`,
});

const intoOverlay = (protocol: string, port: number) => ({
  direction: "into_overlay",
  protocol,
  listen: `127.0.0.1:${port}`,
  target: `hosta:${SERVICE}`,
});

describe("a userspace node beside one with TUN", function () {
  this.timeout(300_000);
  let site: Site;
  let services: AsyncDisposableStack;

  const serve = async (on: SiteNode, address: string): Promise<void> => {
    const argv = [process.execPath, script("server"), address, String(SERVICE)];
    const server = program(site.lab.argvOn(on.name, argv), join(site.folder, `${on.name}-server.out`));
    services.defer(() => server.end("SIGKILL"));
    await server.start();
    await until(`a service on ${on.name}`, async () => (await server.output()).includes("listening"));
  };
  const client = async (on: SiteNode, ...words: readonly (string | number)[]): Promise<string> => {
    const argv = [process.execPath, script("client"), ...words.map(String)];
    const { code, stderr } = await site.lab.exec(on.name, argv);
    return code === 0 ? "echoed" : stderr.trim() || `code ${code}`;
  };

  before(async () => {
    services = new AsyncDisposableStack();
    const config = {
      interface_kind: "userspace",
      proxy: `127.0.0.1:${PROXY}`,
      forwards: [
        fromOverlay("tcp", SERVICE),
        fromOverlay("tcp", DENIED),
        fromOverlay("udp", SERVICE),
        intoOverlay("tcp", INTO),
        intoOverlay("udp", INTO_UDP),
      ],
    };
    site = await startSite({ store: "pglite", workers: 1, config: { hostb: config } });
    await site.tenant.apply(ping, tcp, udp);
    await joinBoth(site);
    await serve(site.b, "127.0.0.1");
    await serve(site.a, await site.a.address());
  });
  after(async () => {
    await services?.disposeAsync();
    await site?.[Symbol.asyncDispose]();
  });

  it("says so in its status and sets nothing on the host", async () => {
    const status = await site.b.status();
    assert.equal(status?.engine?.interfaceKind, InterfaceKind.USERSPACE);
    assert.deepEqual(status?.problems, []);
    const { stdout } = await site.lab.exec("hostb", ["ip", "-json", "link", "show"]);
    const names = (JSON.parse(stdout) as { ifname: string }[]).map(({ ifname }) => ifname);
    assert.deepEqual(names.toSorted(), ["eth0", "lo"]);
    assert.match(await site.b.cvlan(["status"]), /userspace/);
  });

  it("answers the other node: ping, and TCP and UDP of its kernel", async () => {
    const { a, b } = site;
    const address = await b.address();
    assert.equal(await a.ping("hostb", 3), 3);
    assert.equal(await b.ping("hosta", 3), 3);
    assert.equal(await client(a, "tcp", address, SERVICE), "echoed");
    assert.equal(await client(a, "udp", address, SERVICE), "echoed");
    assert.match(await client(a, "tcp", address, 7), /ECONNREFUSED/);
  });

  it("reaches it by SOCKS, by HTTP and by forwards", async () => {
    const { b } = site;
    const address = await site.a.address();
    assert.equal(await client(b, "socks", PROXY, "hosta", SERVICE), "echoed");
    assert.equal(await client(b, "socks", PROXY, address, SERVICE), "echoed");
    assert.equal(await client(b, "http", PROXY, "hosta", SERVICE), "echoed");
    assert.equal(await client(b, "tcp", "127.0.0.1", INTO), "echoed");
    assert.equal(await client(b, "udp", "127.0.0.1", INTO_UDP), "echoed");
    assert.equal(await client(b, "socks", PROXY, "hosta", 7), "SOCKS reply 5");
    assert.equal(await client(b, "socks", PROXY, "10.71.0.2", 8_443), "SOCKS reply 3", "no way out of the overlay");
    assert.equal(await client(b, "socks", PROXY, "nobody", 80), "SOCKS reply 4");
  });

  it("refuses what the policy denies and cuts what it denies from now on", async () => {
    const { a, b, tenant, lab, folder } = site;
    const argv = [process.execPath, script("client"), "stay", PROXY, "hosta", String(SERVICE)];
    const stay = program(lab.argvOn("hostb", argv), join(folder, "stay.out"));
    services.defer(() => stay.end("SIGKILL"));
    await stay.start();
    await until("the connection lives", async () => (await stay.output()).includes("xxx"));
    const only = {
      name: "one-port",
      action: PolicyAction.ALLOW,
      protocol: PolicyProtocol.TCP,
      sources: [anyone],
      destinations: [anyone],
      ports: [{ first: DENIED, last: DENIED }],
    };
    await tenant.apply(ping, only);
    await until("it is cut", () => !stay.running);
    assert.equal(await client(b, "socks", PROXY, "hosta", SERVICE), "SOCKS reply 2");
    assert.equal(await client(b, "http", PROXY, "hosta", SERVICE), "HTTP reply 403");
    await until("the refusals are counted", async () => (await b.counter("proxy_refused_policy")) >= 2n);
    await until("the other port is open", async () => (await client(a, "tcp", await b.address(), DENIED)) === "echoed");
    assert.ok((await b.ping("hosta")) > 0, "what is still allowed goes on");
  });
});
