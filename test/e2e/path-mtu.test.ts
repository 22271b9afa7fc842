import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { PathMtuState, type PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { must, run } from "@cloudvlan/test/lab";
import { type Bulk, openBulk } from "./site/bulk.ts";
import { joinBoth, ping, type Site, startSite, tcp, until } from "./site/index.ts";

const WIDE = 1_420;
/** Bytes of the largest datagram with its IP header that a hole lets through, and of the link that reports what is too large. */
const [HOLE, NARROW] = [1_390, 1_380];
/** Sizes nearer to each other than this are not told apart. */
const STEP = 8;
const [V4_OVERHEAD, V6_OVERHEAD] = [20 + 8 + 32, 40 + 8 + 32];
/** The search tries a larger size half a minute after a black hole. */
const LIFTED_MS = 150_000;

for (const { family, overhead } of [
  { family: "IPv4", overhead: V4_OVERHEAD },
  { family: "IPv6", overhead: V6_OVERHEAD },
]) {
  describe(`the path MTU over ${family} (needs nft)`, function () {
    this.timeout(300_000);
    let site: Site;
    let bulk: Bulk;

    const on = (machine: string, ...argv: readonly string[]) => must(site.lab.argvOn(machine, argv));
    const shell = (machine: string, script: string) => on(machine, "sh", "-c", script);
    const peer = async (): Promise<PeerStatus> => (await site.a.peer("hostb")) ?? assert.fail("hostb is not known");
    const found = (what: string, fits: (peer: PeerStatus) => boolean, ceilingMs?: number) =>
      until(
        what,
        async () => {
          const held = await peer();
          return fits(held) ? held : undefined;
        },
        ceilingMs,
      );
    const isFound = (carried: number) => (held: PeerStatus) =>
      held.pathMtuState === PathMtuState.CONFIRMED && held.pathMtu <= carried && held.pathMtu > carried - STEP;

    /** Hosts that find each other over IPv6 only; the control plane stays where it is. */
    async function overIpv6(): Promise<void> {
      await shell("router", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
      for (const [host, net] of [
        ["hosta", "fd71:1"],
        ["hostb", "fd71:2"],
      ] as const) {
        await on("router", "ip", "addr", "add", `${net}::1/64`, "dev", `${host}0`, "nodad");
        await on(host, "ip", "addr", "add", `${net}::2/64`, "dev", "eth0", "nodad");
        await on(host, "ip", "-6", "route", "add", "default", "via", `${net}::1`);
      }
      await shell(
        "router",
        "nft 'add table ip v4; add chain ip v4 forward { type filter hook forward priority 0; }; add rule ip v4 forward meta l4proto udp drop'",
      );
    }

    before(async function () {
      if ((await run(["sh", "-c", "command -v nft"])).code !== 0) this.skip();
      site = await startSite({ store: "pglite", workers: 1 });
      if (family === "IPv6") await overIpv6();
      // One packet is one packet on the wire, as with plain network cards: what a router drops has its real size.
      for (const host of ["hosta", "hostb"]) await on(host, "ip", "link", "set", "dev", "eth0", "gso_max_segs", "1");
      await site.tenant.apply(ping, tcp);
      await joinBoth(site);
      bulk = await openBulk(site.lab, site.a, site.b, 5_002, site.folder);
    });
    after(async () => {
      await bulk?.[Symbol.asyncDispose]();
      await site?.[Symbol.asyncDispose]();
    });

    it("is confirmed where the path carries the interface's packets", async () => {
      await bulk.flows();
      const { endpoint, pathMtu } = await found("the size is confirmed", isFound(WIDE));
      assert.equal(pathMtu, WIDE);
      assert.equal(endpoint?.address.includes(":"), family === "IPv6");
      assert.equal((await peer()).pathMtu, WIDE);
      assert.match(await site.a.cvlan(["status"]), /PATH MTU[^]*hostb .* 1420 /);
    });

    it("shrinks within a stream whose large packets are swallowed, and new connections never meet the hole", async () => {
      await shell(
        "router",
        `nft 'add table inet hole; add chain inet hole forward { type filter hook forward priority 0; }; add rule inet hole forward meta l4proto udp meta length > ${HOLE} counter drop'`,
      );
      await bulk.flows();
      const { pathMtu } = await found("what the hole lets through is found", isFound(HOLE - overhead));
      assert.equal(await site.a.counter("mtu_black_holes"), 1n);
      assert.match(await site.a.cvlan(["why", "hostb"]), new RegExp(`largest packet to hostb: ${pathMtu}`));
      const lowered = await site.a.counter("tcp_segments_lowered");
      const dropped = await site.a.counter("tx_dropped_too_big");
      await using second = await openBulk(site.lab, site.a, site.b, 5_003, site.folder);
      await second.flows();
      assert.ok((await site.a.counter("tcp_segments_lowered")) > lowered);
      assert.equal(await site.a.counter("tx_dropped_too_big"), dropped);
      const { found: told } = await doctorMtu();
      assert.ok(told.includes(`(${pathMtu + overhead})`), told);
    });

    it("grows again when nothing is swallowed any more", async () => {
      await shell("router", "nft delete table inet hole");
      await found("the whole size is back", isFound(WIDE), LIFTED_MS);
      await bulk.flows();
    });

    it("follows a router that says how much it carries", async () => {
      // The kernel of the sender forgot what the tunnel told it before.
      await on("hosta", "ip", "route", "flush", "cache");
      await using again = await openBulk(site.lab, site.a, site.b, 5_004, site.folder);
      await again.flows();
      await on("router", "ip", "link", "set", "dev", "hostb0", "mtu", String(NARROW));
      await found("what the router said is known", isFound(NARROW - overhead));
      assert.equal((await peer()).pathMtu, NARROW - overhead);
      await again.flows();
      assert.equal(await site.a.counter("mtu_black_holes"), 1n);
      assert.equal(await site.a.counter("tx_dropped_send"), 0n);
    });

    it("leaves an idle path alone", async () => {
      await bulk[Symbol.asyncDispose]();
      const sent = await until("probing ends", async () => {
        const before = await site.a.counter("mtu_probes_sent");
        await delay(8_000);
        return (await site.a.counter("mtu_probes_sent")) === before ? before : undefined;
      });
      assert.equal(await site.a.ping("hostb", 3), 3);
      assert.equal(await site.a.counter("mtu_probes_sent"), sent);
    });

    async function doctorMtu(): Promise<{ readonly found: string }> {
      const { checks } = JSON.parse(await site.a.cvlan(["doctor", "--json"])) as {
        readonly checks: readonly { readonly name: string; readonly found: string }[];
      };
      return checks.find(({ name }) => name === "mtu") ?? assert.fail("no check is called mtu");
    }
  });
}
