// Runs in an enclosure and prints what it saw as one JSON line; wire.test.ts judges it.
import { setTimeout as delay } from "node:timers/promises";
import { createNatLab, PUBLIC, type WireOptions } from "../index.ts";
import { mapped, portOf, reflectors } from "./reflectors.ts";
import { socketsOn } from "./sockets.ts";

/** So few that a socket which nobody reads holds them all. */
const COUNT = 200;
/** Of these, some come with each of the seeds. */
const FIRST = 5;
const LOSSY: WireOptions = { delayMs: 20, loss: 0.2, duplicate: 0.1, seed: 7 };
const WIRES: Readonly<Record<"one" | "same" | "other" | "shaky", WireOptions>> = {
  one: LOSSY,
  same: LOSSY,
  other: { ...LOSSY, seed: 8 },
  shaky: { jitterMs: 50, seed: 7 },
};
const ROUNDS = 10;

const lab = await createNatLab(
  {
    servers: ["stun1", "stun2", "control"],
    current: "control",
    nats: { home: { kind: "port-restricted", families: ["ipv4", "ipv6"] } },
    hosts: { one: PUBLIC, same: PUBLIC, other: PUBLIC, shaky: PUBLIC, inside: "home", deep: "home" },
    wires: { ...WIRES, home: { delayMs: 25 }, deep: { delayMs: 10 }, control: { delayMs: 10 } },
  },
  { captureProgram: process.env["CLOUDVLAN_LAB"] ?? "" },
);

const server = await socketsOn(lab, "stun1");
const address = lab.addresses("stun1").ipv4 ?? "";
const streams: Record<string, unknown> = {};
for (const host of Object.keys(WIRES) as (keyof typeof WIRES)[]) {
  const sink = await server.open();
  const source = await socketsOn(lab, host).then((opener) => opener.open());
  const to = { address, port: sink.port };
  const came = (): readonly string[] => sink.inbox.map(({ text }) => text);
  // While a neighbour is looked for, what comes for it may be lost beside the wire.
  for (let number = 0; number < FIRST; number += 1) await source.send(to, "first");
  while (!came().includes("first")) await delay(10);
  for (let number = 0; number < COUNT; number += 1) await source.send(to, String(number));
  // Where order is kept, an end is after all that came; where nothing is lost, all come.
  while (!came().includes("end") || (host === "shaky" && new Set(came()).size <= COUNT + 1)) {
    await source.send(to, "end");
    await delay(10);
  }
  const arrived = came()
    .filter((text) => text !== "first" && text !== "end")
    .map(Number);
  streams[host] = { arrived, counts: (await lab.stopWire(host, "eth0"))[host] };
}

const times: Record<string, number[]> = {};
const other = await socketsOn(lab, "stun2");
for (const [family, udp] of [
  ["ipv4", "udp4"],
  ["ipv6", "udp6"],
] as const) {
  const at = [lab.addresses("stun1")[family] ?? "", lab.addresses("stun2")[family] ?? ""] as const;
  const { servers } = await reflectors([server, other], at, udp);
  for (const node of ["inside", "deep", "control"] as const) {
    const opener = await socketsOn(lab, node);
    const asks = await opener.open(udp);
    const taken: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const begun = performance.now();
      if (!(await mapped(asks, portOf(servers[0], 0)))) throw new Error(`nobody answers ${node} by ${family}`);
      taken.push(performance.now() - begun);
    }
    times[`${node} ${family}`] = taken;
    opener.end();
  }
}
await lab.close();
process.stdout.write(`${JSON.stringify({ streams, times })}\n`);
