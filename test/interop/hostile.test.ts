import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { connectTo } from "@cloudvlan/kit/client";
import { type Capture, type CapturedPacket, must, run } from "@cloudvlan/test/lab";
import { createClient } from "@connectrpc/connect";
import { join as joinAs, type Member } from "../contract/member.ts";
import { ping, type Site, startSite, tcp, until } from "../e2e/site/index.ts";
import { program } from "@cloudvlan/infra/site/process";
import { startWireGuard, type WireGuardDevice, type WireGuardPeer } from "./wireguard-go/device.ts";

const LISTEN_PORT = 51_820;
const PORT = 5_001;
const INITIATION = 1;
const RESPONSE = 2;
/** Of nobody in the overlay (RFC 5737). */
const FOREIGN = "203.0.113.7";
const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

describe("wireguard-go with a key that enrolled", function () {
  this.timeout(300_000);
  const cleanup = new AsyncDisposableStack();
  let site: Site;
  let hostile: Member;
  let third: Member;
  let device: WireGuardDevice;
  /** hostb as wireguard-go reaches it. */
  let peer: Required<WireGuardPeer>;
  let own: string;
  let target: string;
  let wire: Capture;
  let tunnel: Capture;

  before(async () => {
    const binary = process.env["CLOUDVLAN_WIREGUARD_GO"];
    assert.ok(binary, "CLOUDVLAN_WIREGUARD_GO is not set: `npm test` builds wireguard-go and sets it");
    site = cleanup.use(await startSite({ store: "pglite", workers: 1 }));
    const { lab, network, tenant, api, b, folder } = site;
    hostile = await joinAs(await tenant.newJoinString(), "hostile");
    third = await joinAs(await tenant.newJoinString(), "third");
    await b.join(await tenant.newJoinString());
    [own, target] = [hostile.addresses[0] ?? "", await b.address()];
    await until("hostb has its address and its map", async () => {
      const { stdout } = await lab.exec(b.name, ["ip", "-4", "addr", "show", "dev", "cvlan0"]);
      return stdout.includes(target) && ((await b.status())?.engine?.map?.revision ?? 0n) > 0n;
    });
    const { nodes } = await createClient(NodeService, api).listNodes(tenant);
    const publicKey = nodes.find(({ name }) => name === b.name)?.wireguardPublicKey;
    assert.ok(publicKey);
    const port = (await b.status())?.engine?.listenPort ?? 0;
    peer = { publicKey, endpoint: `${network.hostAddresses.hostb}:${port}` };
    device = cleanup.use(
      await startWireGuard(lab, "hosta", binary, folder, {
        interfaceName: "wg0",
        listenPort: LISTEN_PORT,
        privateKey: hostile.keys.wireguard.privateKey,
        address: own,
        route: "100.64.0.0/10",
      }),
    );
    wire = await lab.capture("router", "hosta0");
    tunnel = await lab.capture(b.name, "cvlan0");
  });
  after(() => cleanup.disposeAsync());

  /** Sends to a machine of the overlay from an address of ours; says what a connection came to. */
  const probe = (kind: "udp" | "tcp", source = own, destination = target): Promise<string> =>
    must(
      site.lab.argvOn("hosta", [process.execPath, file("programs/probe.ts"), kind, source, destination, String(PORT)]),
    );

  /** What hostb's system was given of what came from an address, or went to it. */
  const seen = (address: string): CapturedPacket[] =>
    tunnel.packets.filter(({ src, dst }) => src === address || dst === address);

  /** WireGuard messages of a type from one machine to the other. */
  const messages = (type: number, from: "hosta" | "hostb"): number => {
    const address = site.network.hostAddresses[from];
    return wire.packets.filter(({ src, wg_type }) => src === address && wg_type === type).length;
  };

  it("gets no answer to a handshake while no rule speaks of it", async () => {
    const { b } = site;
    await device.setPeer(peer);
    const refused = await b.counter("handshakes_refused");
    await probe("udp");
    // Two, so that an answer to the first had its time.
    await until("hostb refuses", async () => (await b.counter("handshakes_refused")) >= refused + 2n);
    assert.ok(messages(INITIATION, "hosta") >= 2);
    const { hosta, hostb } = site.network.hostAddresses;
    const answers = wire.packets.filter(({ src, dst }) => src === hostb && dst === hosta);
    assert.deepEqual(answers, []);
    assert.equal(await device.lastHandshake(), 0);
    assert.deepEqual(seen(own), []);
  });

  it("answers our engine, once a rule lets it", async () => {
    const { network, control, tenant, b } = site;
    const { publicKey } = peer;
    await device.setPeer({ publicKey });
    await tenant.apply(ping);
    const connection = cleanup.adopt(connectTo(control.url, { roots: control.roots, ...hostile.credential }), (open) =>
      open.close(),
    );
    await createClient(NetmapService, connection).reportEndpoints({
      endpoints: [{ address: network.hostAddresses.hosta, port: LISTEN_PORT }],
    });
    await until("hostb pings it", async () => (await b.ping("hostile")) > 0);
    assert.ok(messages(INITIATION, "hostb") > 0 && messages(RESPONSE, "hosta") > 0);
  });

  it("is answered by our engine too", async () => {
    const { b } = site;
    const answered = messages(RESPONSE, "hostb");
    await device.setPeer(peer);
    await probe("udp");
    await until("the handshake is done", async () => (await device.lastHandshake()) > 0);
    assert.ok(messages(RESPONSE, "hostb") > answered);
    assert.equal(await b.ping("hostile", 3), 3);
  });

  it("is shown by `wg` on the managed interface, which tells no secret and takes no order", async function () {
    const { lab, b } = site;
    if ((await run(["sh", "-c", "command -v wg"])).code !== 0) this.skip();
    const on = (...argv: readonly string[]) => lab.exec(b.name, ["wg", ...argv]);
    const dump = await until("wg finds the interface", async () => {
      const { code, stdout } = await on("show", "cvlan0", "dump");
      return code === 0 && stdout;
    });
    const [device = [], ...peers] = dump
      .trim()
      .split("\n")
      .map((line) => line.split("\t"));
    assert.deepEqual(device.slice(0, 2), ["(none)", "(none)"]);
    assert.equal(device[2], String((await b.status())?.engine?.listenPort));
    const shown = peers.find(([key]) => key === Buffer.from(hostile.keys.wireguard.publicKey).toString("base64"));
    assert.ok(shown, dump);
    const [, preshared, endpoint, allowed, handshake] = shown;
    assert.equal(preshared, "(none)");
    assert.equal(endpoint, `${site.network.hostAddresses.hosta}:${LISTEN_PORT}`);
    assert.ok(allowed?.split(",").includes(`${own}/32`), allowed);
    assert.ok(Number(handshake) > 0);
    const refused = await on("set", "cvlan0", "listen-port", "1");
    assert.match(refused.stderr, /Operation not permitted/);
  });

  for (const kind of ["udp", "tcp"] as const) {
    it(`brings no ${kind} through a rule for ICMP`, async () => {
      const { b } = site;
      const dropped = await b.counter("rx_dropped_filter");
      const said = await probe(kind);
      assert.equal(said, kind === "tcp" ? "silent" : "");
      await until("hostb drops it", async () => (await b.counter("rx_dropped_filter")) > dropped);
      assert.deepEqual(seen(own), []);
    });
  }

  const spoofed = [
    ["another member", () => third.addresses[0] ?? ""],
    ["nobody", () => FOREIGN],
  ] as const;
  for (const [whose, address] of spoofed) {
    it(`brings nothing in the name of ${whose}`, async () => {
      const { b } = site;
      const source = address();
      const dropped = await b.counter("rx_dropped_source");
      await device.withAddress(source, () => probe("udp", source));
      await until("hostb drops it", async () => (await b.counter("rx_dropped_source")) > dropped);
      assert.deepEqual(
        tunnel.packets.filter(({ src }) => src === source),
        [],
      );
    });
  }

  it("brings nothing for a machine behind which it is not", async () => {
    const { b } = site;
    const dropped = await b.counter("rx_dropped_destination");
    const destination = third.addresses[0] ?? "";
    await probe("udp", own, destination);
    await until("hostb drops it", async () => (await b.counter("rx_dropped_destination")) > dropped);
    assert.deepEqual(seen(destination), []);
  });

  it("reaches what a rule opens, and nothing once the rule is gone", async () => {
    const { lab, tenant, b, folder } = site;
    const argv = [process.execPath, file("../e2e/programs/stream-server.ts"), target, String(PORT)];
    const server = program(lab.argvOn(b.name, argv), join(folder, "server.out"));
    cleanup.defer(() => server.end("SIGKILL"));
    await server.start();
    await until("the server listens", async () => (await server.output()).includes("listening"));
    await tenant.apply(ping, tcp);
    await until("it connects", async () => (await probe("tcp")) === "connected");
    assert.ok(seen(own).some(({ proto }) => proto === 6));

    await tenant.apply();
    await until("hostb forgets it", async () => (await b.peer("hostile")) === undefined);
    const before = seen(own).length;
    const unknown = await b.counter("rx_dropped_unknown_peer");
    assert.equal(await probe("tcp"), "silent");
    await until("hostb drops what comes", async () => (await b.counter("rx_dropped_unknown_peer")) > unknown);
    assert.equal(seen(own).length, before);
  });
});
