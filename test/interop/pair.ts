import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { until } from "@cloudvlan/infra/site/until";
import { type CapturedPacket, type Lab, must, type Topology } from "@cloudvlan/test/lab";
import { startUserspace, type UserspaceInterface } from "./userspace.ts";

export const SIDES = ["left", "right"] as const;
export type Side = (typeof SIDES)[number];
/** Implementations, both with sessions of seconds: only the limits of the whitepaper, section 6.1, differ from the products. */
export const KINDS = ["cvlan-engine", "wireguard-go"] as const;
export type Kind = (typeof KINDS)[number];
/** Who calls whom. */
export const ROLES: readonly Readonly<Record<Side, Kind>>[] = [
  { left: "cvlan-engine", right: "wireguard-go" },
  { left: "wireguard-go", right: "cvlan-engine" },
];

export const PORT = 51_820;
export const OUTER = { left: "10.62.0.1", right: "10.62.0.2" };
export const OUTER6 = { left: "fd62::1", right: "fd62::2" };
/** The right end as the crowd reaches it. */
export const FROM_CROWD = "10.63.0.1";
/** 65,536 addresses of the crowd. */
export const STRANGERS = "10.64.0.0";
export const INNER = { left: "10.98.0.1", right: "10.98.0.2" };
export const INNER6 = { left: "fd98::1", right: "fd98::2" };

export const PAIR: Topology = {
  nodes: [{ name: "left" }, { name: "right" }, { name: "crowd" }],
  links: [
    {
      ends: [
        { node: "left", interface: "eth0", address: `${OUTER.left}/24` },
        { node: "right", interface: "eth0", address: `${OUTER.right}/24` },
      ],
    },
    {
      ends: [
        {
          node: "right",
          interface: "eth1",
          address: `${FROM_CROWD}/24`,
          routes: [{ to: `${STRANGERS}/16`, via: "10.63.0.2" }],
        },
        { node: "crowd", interface: "eth0", address: "10.63.0.2/24" },
      ],
    },
  ],
};

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Values of Go constants. */
const limits = JSON.parse(readFileSync(file("wireguard-go/short-sessions.json"), "utf8")) as {
  readonly RekeyAfterMessages: string;
  readonly RekeyAfterTime: string;
  readonly RejectAfterTime: string;
};
const seconds = (value: string): number => Number(value.replace("time.Second * ", ""));
export const REKEY_AFTER_MESSAGES = Number(limits.RekeyAfterMessages);
export const REKEY_AFTER_S = seconds(limits.RekeyAfterTime);
export const REJECT_AFTER_S = seconds(limits.RejectAfterTime);

export const other = (side: Side): Side => (side === "left" ? "right" : "left");

/** Two ends of a tunnel, of which the left one knows where the right one is. */
export interface Pair extends AsyncDisposable {
  readonly ends: Readonly<Record<Side, UserspaceInterface>>;
  readonly publicKeys: Readonly<Record<Side, string>>;
  /** Holds the preshared key. */
  readonly presharedKeyFile: string;
  /** `wg set` of what an end knows of the other. */
  set(side: Side, ...args: readonly string[]): Promise<string>;
  /** A column of `wg show` about the only peer. */
  shown(side: Side, what: "endpoints" | "latest-handshakes" | "transfer"): Promise<string[]>;
}

/** wireguard-go has a worker for handshakes on each processor: a flood is measured by one. */
const ALONE = ["taskset", "--cpu-list", "0"];

function argvOf(kind: Kind, name: string): string[] {
  const variable = kind === "wireguard-go" ? "CLOUDVLAN_WIREGUARD_GO_SHORT" : "CLOUDVLAN_ENGINE_SHORT";
  const path = process.env[variable];
  assert.ok(path, `${variable} is not set: \`npm test\` builds ${kind} and sets it`);
  return kind === "wireguard-go" ? [...ALONE, path, "-f", name] : [path, "wg", "-f", name];
}

/** What the wires of `PAIR` need beside: IPv6 on the first, the addresses of the crowd. */
export async function prepare(lab: Lab): Promise<void> {
  for (const side of SIDES) {
    await must(lab.argvOn(side, ["ip", "-6", "addr", "add", `${OUTER6[side]}/64`, "dev", "eth0", "nodad"]));
  }
  await must(lab.argvOn("crowd", ["ip", "route", "add", "local", `${STRANGERS}/16`, "dev", "lo"]));
}

/** Starts both ends, with a preshared key. @param endpoint of the right one */
export async function startPair(
  lab: Lab,
  folder: string,
  kinds: Readonly<Record<Side, Kind>>,
  endpoint = `${OUTER.right}:${PORT}`,
): Promise<Pair> {
  await using cleanup = new AsyncDisposableStack();
  const ends = {} as Record<Side, UserspaceInterface>;
  const privateKeys = {} as Record<Side, string>;
  const publicKeys = {} as Record<Side, string>;
  for (const side of SIDES) {
    const name = `wg${side}`;
    ends[side] = cleanup.use(
      await startUserspace(lab, side, argvOf(kinds[side], name), name, [`${INNER[side]}/24`], folder),
    );
    await must(lab.argvOn(side, ["ip", "-6", "addr", "add", `${INNER6[side]}/64`, "dev", name, "nodad"]));
    privateKeys[side] = (await must(["wg", "genkey"])).trim();
    publicKeys[side] = (await must(["wg", "pubkey"], { input: privateKeys[side] })).trim();
  }
  const presharedKey = (await must(["wg", "genpsk"])).trim();
  const presharedKeyFile = join(folder, "preshared.key");
  await writeFile(presharedKeyFile, presharedKey, { mode: 0o600 });
  for (const side of ["right", "left"] as const) {
    const peer = other(side);
    const lines = ["[Interface]", `PrivateKey = ${privateKeys[side]}`, `ListenPort = ${PORT}`, "[Peer]"];
    lines.push(`PublicKey = ${publicKeys[peer]}`, `PresharedKey = ${presharedKey}`);
    lines.push(`AllowedIPs = ${INNER[peer]}/32, ${INNER6[peer]}/128`);
    if (side === "left") lines.push(`Endpoint = ${endpoint}`);
    await ends[side].configure("setconf", `${lines.join("\n")}\n`);
  }
  const kept = cleanup.move();
  return {
    ends,
    publicKeys,
    presharedKeyFile,
    set: (side, ...args) => ends[side].wg("set", "peer", publicKeys[other(side)], ...args),
    shown: async (side, what) => (await ends[side].wg("show", what)).trim().split("\t").slice(1),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Numbered datagrams on their way through the tunnel. */
export interface Stream extends AsyncDisposable {
  /** What arrived so far, in order. */
  readonly arrived: readonly number[];
  /** Ends when the last one was sent. */
  readonly sent: Promise<unknown>;
}

const SERVICE = 5_001;

/** @param rate datagrams a second */
export async function startStream(lab: Lab, from: Side, rate: number, count: number, to = INNER): Promise<Stream> {
  const program = (...args: readonly string[]) => [process.execPath, file("programs/datagrams.ts"), ...args];
  const receiver = await lab.spawn(other(from), program("receive", String(SERVICE)), {
    stdio: ["ignore", "pipe", "inherit"],
  });
  assert.ok(receiver.stdout);
  const arrived: number[] = [];
  const lines = createInterface({ input: receiver.stdout });
  await once(lines, "line");
  lines.on("line", (line) => arrived.push(Number(line)));
  const argv = program("send", to[other(from)], String(SERVICE), String(rate), String(count));
  const sent = must(lab.argvOn(from, argv));
  return {
    arrived,
    sent,
    [Symbol.asyncDispose]: async () => {
      await Promise.allSettled([sent]);
      const ended = once(receiver, "exit");
      receiver.kill("SIGTERM");
      await ended;
    },
  };
}

/** Runs a stream to its end. @throws Error unless each datagram arrives */
export async function runStream(lab: Lab, from: Side, rate: number, count: number, to = INNER): Promise<void> {
  await using stream = await startStream(lab, from, rate, count, to);
  await stream.sent;
  await until("all arrive", () => stream.arrived.length >= count);
  assert.deepEqual(
    stream.arrived.toSorted((a, b) => a - b),
    Array.from({ length: count }, (_, number) => number),
  );
}

/** Data messages of one session, as one side sends them. */
export interface SessionOnWire {
  readonly index: string;
  /** Counters of the first and the last message. */
  readonly first: bigint;
  readonly last: bigint;
  /** Between these two, in seconds. */
  readonly seconds: number;
}

/** The sessions in what a side sent, in order: whitepaper, section 5.4.6. */
export function sessionsOf(packets: readonly CapturedPacket[], source: string): SessionOnWire[] {
  const data = packets.filter(({ src, wg_type: type }) => src === source && type === 4);
  const sessions = Map.groupBy(data, ({ head_hex: head }) => head.slice(8, 16));
  return [...sessions].map(([index, messages]) => {
    const counters = messages.map(({ head_hex: head }) => Buffer.from(head, "hex").readBigUInt64LE(8));
    const times = messages.map(({ t_us: time }) => time / 1e6);
    const [first = 0n] = counters;
    return {
      index,
      first,
      last: counters.reduce((a, b) => (a > b ? a : b), first),
      seconds: Math.max(...times) - Math.min(...times),
    };
  });
}
