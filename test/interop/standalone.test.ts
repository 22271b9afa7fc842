import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { program } from "@cloudvlan/infra/site/process";
import { until } from "@cloudvlan/infra/site/until";
import { createLab, type Lab, must, run, type Topology } from "@cloudvlan/test/lab";
import { startUserspace, type UserspaceInterface } from "./userspace.ts";

const PORT = 51_820;
const SERVICE = 5_001;
const MANY = 10_000;
const OUTER = { left: "10.61.0.1", right: "10.61.0.2" };
const INNER = { left: ["10.99.0.1", "fd99::1"], right: ["10.99.0.2", "fd99::2"] } as const;
/** On the right end, an address that is nobody's by allowed IPs of the other. */
const FOREIGN = "10.99.7.7";
const KINDS = ["cvlan-engine", "wireguard-go"] as const;
type Kind = (typeof KINDS)[number];
type Side = keyof typeof OUTER;

const TOPOLOGY: Topology = {
  nodes: [{ name: "left" }, { name: "right" }],
  links: [
    {
      ends: [
        { node: "left", interface: "eth0", address: `${OUTER.left}/24` },
        { node: "right", interface: "eth0", address: `${OUTER.right}/24` },
      ],
    },
  ],
};

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

function programOf(kind: Kind): string {
  const variable = kind === "wireguard-go" ? "CLOUDVLAN_WIREGUARD_GO" : "CLOUDVLAN_ENGINE";
  const path = process.env[variable];
  assert.ok(path, `${variable} is not set: \`npm test\` builds ${kind} and sets it`);
  return path;
}

function argvOf(kind: Kind, name: string): string[] {
  return kind === "wireguard-go" ? [programOf(kind), "-f", name] : [programOf(kind), "wg", "-f", name];
}

interface Keys {
  readonly private: string;
  readonly public: string;
}

async function makeKeys(): Promise<Keys> {
  const made = (await must(["wg", "genkey"])).trim();
  return { private: made, public: (await must(["wg", "pubkey"], { input: made })).trim() };
}

/** What the interface says to raw lines of the protocol. */
async function ask({ socketPath }: UserspaceInterface, text: string): Promise<string> {
  const socket = connect(socketPath);
  await once(socket, "connect");
  let said = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  socket.end(text);
  await once(socket, "close");
  return said;
}

describe("cvlan-engine wg", function () {
  this.timeout(300_000);
  let folder = "";
  let lab: Lab;
  before(async function () {
    const { code } = await run(["sh", "-c", "command -v wg wg-quick"]);
    if (code !== 0) this.skip();
    folder = await mkdtemp(join(tmpdir(), "cv-wg-"));
    lab = await createLab(TOPOLOGY, { captureProgram: process.env["CLOUDVLAN_LAB"] ?? "" });
  });
  after(async () => {
    if (folder === "") return;
    await lab.close();
    await rm(folder, { recursive: true, force: true });
  });

  const section = ({ public: key }: Keys, ...lines: readonly string[]): string =>
    [`[Peer]`, `PublicKey = ${key}`, ...lines].join("\n");
  const configuration = ({ private: key }: Keys, ...sections: readonly string[]): string =>
    [`[Interface]`, `PrivateKey = ${key}`, `ListenPort = ${PORT}`, ...sections, ""].join("\n");

  for (const [left, right] of [KINDS, KINDS.toReversed()] as [Kind, Kind][]) {
    describe(`${left} calls ${right}`, () => {
      const cleanup = new AsyncDisposableStack();
      const ends = {} as Record<Side, UserspaceInterface>;
      const keys = {} as Record<Side, Keys>;
      let preshared: string;

      before(async () => {
        preshared = (await must(["wg", "genpsk"])).trim();
        for (const [side, kind] of [
          ["left", left],
          ["right", right],
        ] as const) {
          keys[side] = await makeKeys();
          const addresses = INNER[side].map((address) => `${address}/${address.includes(":") ? 64 : 16}`);
          const name = `wg${side}`;
          ends[side] = cleanup.use(await startUserspace(lab, side, argvOf(kind, name), name, addresses, folder));
        }
        // Addresses of IPv6 are there at once: nobody else can have them.
        for (const side of ["left", "right"] as const) {
          await must(
            lab.argvOn(side, ["ip", "-6", "addr", "replace", `${INNER[side][1]}/64`, "dev", `wg${side}`, "nodad"]),
          );
        }
        const allowed = (side: Side): string => `AllowedIPs = ${INNER[side][0]}/32, ${INNER[side][1]}/128`;
        const shared = `PresharedKey = ${preshared}`;
        const calls = `Endpoint = ${OUTER.right}:${PORT}`;
        await ends.right.configure("setconf", configuration(keys.right, section(keys.left, allowed("left"), shared)));
        await ends.left.configure(
          "setconf",
          configuration(keys.left, section(keys.right, allowed("right"), shared, calls)),
        );
        for (const address of [...INNER.right, FOREIGN]) {
          if (address === FOREIGN) await must(lab.argvOn("right", ["ip", "addr", "add", `${FOREIGN}/32`, "dev", "lo"]));
          const argv = [process.execPath, file("../e2e/programs/stream-server.ts"), address, String(SERVICE)];
          const server = program(lab.argvOn("right", argv), join(folder, `server-${left}-${address}.log`));
          await server.start();
          cleanup.defer(() => server.end("SIGKILL"));
          await server.until("it listens", async () => (await server.output()).includes("listening"));
        }
      });
      after(async () => {
        await cleanup.disposeAsync();
        await must(lab.argvOn("right", ["ip", "addr", "del", `${FOREIGN}/32`, "dev", "lo"]));
      });

      const probe = (source: string, destination: string): Promise<string> =>
        must(
          lab.argvOn("left", [
            process.execPath,
            file("programs/probe.ts"),
            "tcp",
            source,
            destination,
            String(SERVICE),
          ]),
        );
      const connects = (what: string, source: string, destination: string): Promise<true> =>
        until(what, async () => (await probe(source, destination)) === "connected");
      const ours = (): UserspaceInterface => (left === "cvlan-engine" ? ends.left : ends.right);

      it("carries TCP over IPv4 and IPv6, with a preshared key", async () => {
        for (const family of [0, 1] as const) {
          await connects("a connection", INNER.left[family], INNER.right[family]);
        }
      });

      it("shows the same at both ends", async () => {
        for (const [side, other] of [
          ["left", "right"],
          ["right", "left"],
        ] as const) {
          const [own = [], peer = []] = (await ends[side].wg("show", "dump"))
            .trim()
            .split("\n")
            .map((line) => line.split("\t"));
          assert.deepEqual(own, [keys[side].private, keys[side].public, String(PORT), "off"]);
          const [key, psk, endpoint, allowed, handshake, received, sent, keepalive] = peer;
          assert.deepEqual(
            [key, psk, endpoint, allowed?.split(",").toSorted(), keepalive],
            [
              keys[other].public,
              preshared,
              `${OUTER[other]}:${PORT}`,
              [`${INNER[other][0]}/32`, `${INNER[other][1]}/128`].toSorted(),
              "off",
            ],
          );
          // By the clock of this machine, in seconds.
          const age = Date.now() / 1000 - Number(handshake);
          assert.ok(age > -2 && age < 300, `the handshake is ${age} s old`);
          assert.ok(Number(received) > 0 && Number(sent) > 0);
        }
      });

      it("lets in what the longest of nested allowed IPs lets in, and counts the rest", async () => {
        const { left: caller, right: called } = ends;
        const silent = async (what: string, source: string, destination: string): Promise<void> => {
          assert.equal(await probe(source, destination), "silent", what);
        };
        // The other end may send everything of 10.99.0.0/16 but what a third peer has.
        const third = await makeKeys();
        await caller.wg("set", "peer", keys.right.public, "allowed-ips", `10.99.0.0/16,${INNER.right[1]}/128`);
        await connects("an address of the wide block", INNER.left[0], FOREIGN);
        await caller.wg("set", "peer", third.public, "allowed-ips", `${FOREIGN}/32`);
        await silent("the address leads to the third peer", INNER.left[0], FOREIGN);
        // The right end has the third peer too: what comes from the left one in its name goes no further.
        await called.wg("set", "peer", third.public, "allowed-ips", "10.99.5.0/24");
        await must(lab.argvOn("left", ["ip", "addr", "add", "10.99.5.1/32", "dev", "wgleft"]));
        await silent("an address of another peer", "10.99.5.1", INNER.right[0]);
        await called.wg("set", "peer", keys.left.public, "allowed-ips", `10.99.0.0/16,${INNER.left[1]}/128`);
        await silent("the longer prefix is another peer's", "10.99.5.1", INNER.right[0]);
        await called.wg("set", "peer", third.public, "remove");
        await connects("the block is whole again", "10.99.5.1", INNER.right[0]);
        for (const end of [caller, called]) {
          const peers = (await end.wg("show", "peers")).trim().split("\n");
          assert.equal(peers.length, end === caller ? 2 : 1);
        }
      });

      it("keeps its sessions when the same is set again", async () => {
        const handshakes = () => ours().wg("show", "latest-handshakes");
        const before = await handshakes();
        await ours().configure("syncconf", await ours().wg("showconf"));
        assert.equal(await handshakes(), before);
        await connects("a connection", INNER.left[0], INNER.right[0]);
      });

      it("refuses a request that is wrong anywhere, and does nothing of it", async () => {
        const own = ours();
        const shown = () => own.wg("showconf");
        const before = await shown();
        const key = Buffer.from(keys.left.public, "base64").toString("hex");
        for (const [errno, lines] of [
          [-22, ["listen_port=1", "nonsense=1"]],
          [-22, ["replace_peers=true", `public_key=${key}`, "allowed_ip=10.0.0.0/33"]],
          [-22, [`public_key=${key}`, "replace_allowed_ips=true", "endpoint=nowhere"]],
          [-71, ["fwmark=1", "without an equals sign"]],
        ] as const) {
          assert.equal(await ask(own, `set=1\n${lines.join("\n")}\n\n`), `errno=${errno}\n\n`, lines.join(" "));
          assert.equal(await shown(), before, lines.join(" "));
        }
        const taken = program(
          lab.argvOn(own.machine, [process.env["CLOUDVLAN_LAB"] ?? "", "sink", "--port", "5999"]),
          join(folder, "taken.log"),
        );
        await taken.start();
        await taken.until("it listens", async () => (await taken.said()).includes("listening"));
        const refused = await own.run("set", "listen-port", "5999", "peer", keys.left.public, "remove");
        await taken.end("SIGTERM");
        assert.match(refused.stderr, /Address already in use/);
        assert.notEqual(refused.code, 0);
        assert.equal(await shown(), before);
      });

      it("moves to another port and goes on", async () => {
        await ends.left.wg("set", "listen-port", String(PORT + 1));
        await connects("a connection", INNER.left[0], INNER.right[0]);
        const endpoint = `${OUTER.left}:${PORT + 1}`;
        await until("the other end has followed", async () =>
          (await ends.right.wg("show", "endpoints")).includes(endpoint),
        );
      });

      it("takes a new private key", async () => {
        const next = await makeKeys();
        const path = join(folder, "next.key");
        await writeFile(path, next.private, { mode: 0o600 });
        await ends.left.wg("set", "private-key", path);
        assert.equal((await ends.left.wg("show", "public-key")).trim(), next.public);
        await ends.right.configure(
          "syncconf",
          configuration(keys.right, section(next, `AllowedIPs = ${INNER.left[0]}/32`, `PresharedKey = ${preshared}`)),
        );
        await connects("a connection with the new key", INNER.left[0], INNER.right[0]);
      });

      it("takes many peers and lets them go again", async () => {
        const own = ours();
        const peer = (n: number): string => {
          const key = Buffer.alloc(32, 9);
          key.writeUInt32LE(n);
          return `[Peer]\nPublicKey = ${key.toString("base64")}\nAllowedIPs = 10.${100 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}/32`;
        };
        await own.configure("addconf", Array.from({ length: MANY }, (_, n) => peer(n)).join("\n"));
        const before = (await own.wg("show", "peers")).trim().split("\n").length;
        assert.ok(before >= MANY && before <= MANY + 2, `${before} peers`);
        await own.configure("syncconf", configuration(keys[own === ends.left ? "left" : "right"]));
        assert.equal(await own.wg("show", "peers"), "");
      });

      it("ends when its interface is deleted, takes its socket along and tells what it counted", async () => {
        const own = ours();
        assert.equal((await stat(own.socketPath)).mode & 0o777, 0o600);
        await must(lab.argvOn(own.machine, ["ip", "link", "del", own.name]));
        await own.daemon.ended;
        assert.equal(existsSync(own.socketPath), false);
        const said = (await own.daemon.said()).trim().split("\n");
        assert.deepEqual(
          said.filter((line) => !line.includes('"level":"INFO"')),
          [],
        );
        const { counters = "" } = JSON.parse(said.at(-1) ?? "{}") as { counters?: string };
        assert.match(counters, /\brx_packets=\d/);
        if (right === "cvlan-engine") assert.match(counters, /\brx_dropped_source=\d/);
      });
    });
  }

  describe("as wg-quick starts it", () => {
    const name = "wgquick";

    it("goes on in the background until wg-quick takes the interface away", async function () {
      // wg-quick asks for root by sudo; a kernel with WireGuard needs nobody.
      const kernel = await lab.exec("left", ["ip", "link", "add", "wgkernel", "type", "wireguard"]);
      if (process.getuid?.() !== 0 || kernel.code === 0) {
        await lab.exec("left", ["ip", "link", "del", "wgkernel"]);
        this.skip();
      }
      const implementation = join(folder, "cvlan-wg");
      await symlink(programOf("cvlan-engine"), implementation);
      const path = join(folder, `${name}.conf`);
      const keys = await makeKeys();
      const peer = section(await makeKeys(), "AllowedIPs = 10.98.0.0/16", `Endpoint = ${OUTER.right}:${PORT}`);
      await writeFile(path, `${configuration(keys, "Address = 10.98.0.1/32", peer)}`, { mode: 0o600 });
      const quick = (verb: string) =>
        must(
          lab.argvOn("left", ["env", `WG_QUICK_USERSPACE_IMPLEMENTATION=${implementation}`, "wg-quick", verb, path]),
        );
      await quick("up");
      assert.equal((await must(lab.argvOn("left", ["wg", "show", name, "public-key"]))).trim(), keys.public);
      const again = await lab.exec("left", [implementation, name]);
      assert.match(again.stderr, /is there already/);
      assert.match(await must(lab.argvOn("left", ["ip", "route", "get", "10.98.4.4"])), new RegExp(`dev ${name}`));
      await quick("down");
      await until("its socket is gone", () => !existsSync(`/var/run/wireguard/${name}.sock`));
    });

    it("says why it does not start", async () => {
      const refused = await lab.exec("left", [programOf("cvlan-engine"), "wg", "a name that is none"]);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /is no interface name/);
    });
  });
});
