import assert from "node:assert/strict";
import { must, run } from "@cloudvlan/test/lab";
import { joinBoth, ping, type Site, startSite, until } from "./site/index.ts";

/** Bytes of the narrow link, and what is left of it for the overlay: IPv6 and UDP headers and WireGuard's off. */
const [NARROW, FITTING] = [1_400, 1_320];

interface Check {
  readonly name: string;
  readonly verdict: string;
  readonly found: string;
  readonly remedy?: string;
}

describe("cvlan doctor on a node", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({ store: "pglite", workers: 1 });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  async function checks(): Promise<readonly Check[]> {
    return (JSON.parse(await site.a.cvlan(["doctor", "--json"])) as { checks: readonly Check[] }).checks;
  }
  const check = async (name: string): Promise<Check> =>
    (await checks()).find((each) => each.name === name) ?? assert.fail(`no check is called ${name}`);
  /** Waits for a verdict: the engine's status lags by up to a second. */
  const told = (name: string, verdict: string) =>
    until(`${name} is ${verdict}`, async () => {
      const found = await check(name);
      return found.verdict === `CHECK_VERDICT_${verdict}` ? found : undefined;
    });
  const onHost = (...argv: readonly string[]) => must(site.a.argvOn(argv));

  it("finds nothing that fails", async () => {
    const failed = (await checks()).filter(({ verdict }) => verdict === "CHECK_VERDICT_FAIL");
    assert.deepEqual(failed, []);
  });

  it("finds a hop that is too narrow, beyond the links of this host, and what fits it", async () => {
    const { lab } = site;
    const link = (mtu: number) =>
      must(lab.argvOn("router", ["ip", "link", "set", "dev", "hostb0", "mtu", String(mtu)]));
    assert.match((await told("mtu", "OK")).found, /of 1 ways the narrowest takes 1500/);
    await link(NARROW);
    const { found, remedy } = await told("mtu", "WARN");
    assert.ok(found.includes(`(${NARROW})`), found);
    assert.equal(remedy, `set \`mtu: ${FITTING}\` for the agent`);
    await link(1_500);
    // What the kernel learnt it would believe for ten minutes.
    await onHost("ip", "route", "flush", "cache");
    await told("mtu", "OK");
  });

  const firewalls = {
    nft: {
      close: [
        ["nft", "add", "table", "inet", "filter"],
        ["nft", "add", "chain", "inet", "filter", "input", "{ type filter hook input priority 0; }"],
        ["nft", "add", "rule", "inet", "filter", "input", "iifname", "lo", "accept"],
        ["nft", "add", "rule", "inet", "filter", "input", "meta", "l4proto", "tcp", "accept"],
        ["nft", "add", "chain", "inet", "filter", "input", "{ policy drop; }"],
      ],
      open: [["nft", "delete", "table", "inet", "filter"]],
    },
    "iptables-legacy": {
      close: [
        ["iptables-legacy", "-A", "INPUT", "-i", "lo", "-j", "ACCEPT"],
        ["iptables-legacy", "-A", "INPUT", "-p", "tcp", "-j", "ACCEPT"],
        ["iptables-legacy", "-P", "INPUT", "DROP"],
      ],
      open: [
        ["iptables-legacy", "-P", "INPUT", "ACCEPT"],
        ["iptables-legacy", "-F", "INPUT"],
      ],
    },
  } as const;
  for (const [name, { close, open }] of Object.entries(firewalls)) {
    it(`finds a firewall by ${name} that drops what peers send, and none once its remedy was done (needs ${name})`, async function () {
      if ((await run(["sh", "-c", `command -v ${name}`])).code !== 0) this.skip();
      await told("firewall", "OK");
      for (const command of close) await onHost(...command);
      const { found, remedy = "" } = await told("firewall", "WARN");
      assert.ok(found.includes(name), found);
      const port = (await site.a.status())?.engine?.listenPort ?? 0;
      assert.ok(remedy.includes(String(port)), remedy);
      await onHost(...remedy.split(" "));
      await told("firewall", "OK");
      for (const command of open) await onHost(...command);
    });
  }
});
