import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:net";
import type { KeyObject } from "node:crypto";
import { type Lab, must } from "@cloudvlan/test/lab";
import { program } from "@cloudvlan/infra/site/process";
import { until } from "@cloudvlan/infra/site/until";

/** Where wireguard-go puts its control sockets; they are shared by all network namespaces. */
const SOCKETS = "/var/run/wireguard";

/** A peer as wireguard-go is told of it. */
export interface WireGuardPeer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** `address:port`; without it wireguard-go waits to be called. */
  readonly endpoint?: string;
}

/** A WireGuard interface of a machine of the lab, driven by wireguard-go. It lets every address through to its one peer. */
export interface WireGuardDevice extends AsyncDisposable {
  readonly interfaceName: string;
  readonly listenPort: number;
  /** Makes this peer the only one; what was known of it is forgotten. */
  setPeer(peer: WireGuardPeer): Promise<void>;
  /** Runs `work` while the interface has a further address. */
  withAddress(address: string, work: () => Promise<unknown>): Promise<void>;
  /** Seconds since the Unix epoch of the last handshake with the peer; 0 when there was none. */
  lastHandshake(): Promise<number>;
}

export interface WireGuardOptions {
  readonly interfaceName: string;
  readonly listenPort: number;
  readonly privateKey: KeyObject;
  /** Own overlay address, without a prefix length. */
  readonly address: string;
  /** Routed into the interface, in CIDR form. */
  readonly route: string;
}

function privateBytes(key: KeyObject): Buffer {
  const { d } = key.export({ format: "jwk" });
  if (d === undefined) throw new Error("this is no private key");
  return Buffer.from(d, "base64url");
}

/** One request of the cross-platform userspace API (wireguard.com/xplatform). @throws Error with its errno */
async function ask(socketPath: string, lines: readonly string[]): Promise<Map<string, string>> {
  const socket = connect(socketPath);
  await once(socket, "connect");
  let said = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  socket.end(`${lines.join("\n")}\n\n`);
  await once(socket, "close");
  const answer = new Map(said.split("\n").map((line) => [line.split("=")[0] ?? "", line.slice(line.indexOf("=") + 1)]));
  if (answer.get("errno") !== "0") throw new Error(`wireguard-go refuses (errno ${answer.get("errno")})`);
  return answer;
}

/** Starts wireguard-go on a machine. */
export async function startWireGuard(
  lab: Lab,
  machine: string,
  binary: string,
  folder: string,
  options: WireGuardOptions,
): Promise<WireGuardDevice> {
  const { interfaceName, listenPort, privateKey, address, route } = options;
  const socketPath = join(SOCKETS, `${interfaceName}.sock`);
  const daemon = program(lab.argvOn(machine, [binary, "-f", interfaceName]), join(folder, `${interfaceName}.out`));
  const ip = (...argv: readonly string[]) => must(lab.argvOn(machine, ["ip", ...argv]));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => daemon.end("SIGTERM"));
  await daemon.start();
  await until("wireguard-go listens", async () => {
    if (!daemon.running) throw new Error(`wireguard-go ended: ${await daemon.output()}`);
    return existsSync(socketPath);
  });
  const key = privateBytes(privateKey).toString("hex");
  await ask(socketPath, ["set=1", `private_key=${key}`, `listen_port=${listenPort}`]);
  await ip("addr", "add", `${address}/32`, "dev", interfaceName);
  await ip("link", "set", "dev", interfaceName, "mtu", "1420", "up");
  await ip("route", "add", route, "dev", interfaceName);
  const kept = cleanup.move();
  return {
    interfaceName,
    listenPort,
    setPeer: async ({ publicKey, endpoint }) => {
      const peer = [`public_key=${Buffer.from(publicKey).toString("hex")}`, "allowed_ip=0.0.0.0/0"];
      const where = endpoint === undefined ? [] : [`endpoint=${endpoint}`];
      await ask(socketPath, ["set=1", "replace_peers=true", ...peer, ...where]);
    },
    withAddress: async (further, work) => {
      await ip("addr", "add", `${further}/32`, "dev", interfaceName);
      await work();
      await ip("addr", "del", `${further}/32`, "dev", interfaceName);
    },
    lastHandshake: async () => Number((await ask(socketPath, ["get=1"])).get("last_handshake_time_sec") ?? 0),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
