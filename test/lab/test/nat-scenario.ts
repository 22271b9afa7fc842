// Runs in an enclosure and prints what it saw as one JSON line; nat.test.ts judges it.
import { once } from "node:events";
import { createServer } from "node:net";
import { createNatLab, NAT_KINDS, type NatBehaviour, type NatKind, PUBLIC, run, TRANSLATED_PORTS } from "../index.ts";
import { classify, mapped, portOf, punch, reaches, reflectors, text } from "./reflectors.ts";
import { socketsOn } from "./sockets.ts";

const KINDS = Object.keys(NAT_KINDS) as NatKind[];
const FORGETS_S = 1;
/** For what must not come, and for what must. */
const SILENT_MS = 1_000;
const PATIENCE_MS = 20_000;
/** One that two hosts use at once. */
const PORT = 51_820;

const lab = await createNatLab(
  {
    servers: ["stun1", "stun2", "control"],
    current: "control",
    nats: {
      left: { kind: "full-cone" },
      right: { kind: "full-cone" },
      carrier: { kind: "full-cone", families: ["ipv4", "ipv6"] },
      home: { kind: "port-restricted", behind: "carrier", families: ["ipv4", "ipv6"] },
      modern: { kind: "symmetric", families: ["ipv6"] },
    },
    hosts: { a: "left", neighbour: "left", b: "right", far: "home", six: "modern", open: PUBLIC },
  },
  { captureProgram: process.env["CLOUDVLAN_LAB"] ?? "" },
);
const [stun1, stun2, a, neighbour, b, far, six, open] = await Promise.all(
  (["stun1", "stun2", "a", "neighbour", "b", "far", "six", "open"] as const).map((node) => socketsOn(lab, node)),
);
if (!stun1 || !stun2 || !a || !neighbour || !b || !far || !six || !open) throw new Error("a machine is missing");
const at = (family: "ipv4" | "ipv6") =>
  [lab.addresses("stun1")[family] ?? "", lab.addresses("stun2")[family] ?? ""] as const;
const servers = await reflectors([stun1, stun2], at("ipv4"));
const servers6 = await reflectors([stun1, stun2], at("ipv6"), "udp6");
const home = portOf(servers.servers[0], 0);
const stranger = servers.servers[1].sockets[0];
const mustMap = async (...asked: Parameters<typeof mapped>) => {
  const seen = await mapped(...asked);
  if (!seen) throw new Error(`${text(asked[1])} does not answer`);
  return seen;
};

const classes: Record<string, unknown> = {};
const outside = (node: Parameters<typeof lab.addresses>[0]) => lab.addresses(node);
const described = async (name: string, host: typeof a, behaviour?: NatBehaviour): Promise<void> => {
  if (behaviour) await lab.setBehaviour("left", behaviour);
  const { mapped: seen, ...found } = await classify(host, servers);
  const translated = seen.port >= TRANSLATED_PORTS.first && seen.port <= TRANSLATED_PORTS.last;
  classes[name] = { ...found, translated, address: seen.address };
};
for (const kind of KINDS) await described(kind, a, { kind });
await described("full-cone, translated", a, { kind: "full-cone", ports: "translated" });
await described("address-restricted, translated", a, { kind: "address-restricted", ports: "translated" });
await described("port-restricted, translated", a, { kind: "port-restricted", ports: "translated" });
await described("carrier", far);
await described("public", open);

const table: Record<string, string> = {};
for (const left of KINDS) {
  await lab.setBehaviour("left", { kind: left });
  const cells: string[] = [];
  for (const right of KINDS) {
    await lab.setBehaviour("right", { kind: right });
    cells.push((await punch(a, b, servers)) ? "D" : "-");
  }
  table[left] = cells.join("");
}

// Two hosts with one port behind one NAT: both have a mapping of their own, the same to everybody.
await lab.setBehaviour("left", { kind: "full-cone" });
const twins: string[] = [];
for (const host of [a, neighbour]) {
  const socket = await host.open("udp4", PORT);
  for (const server of servers.servers) twins.push(text(await mustMap(socket, portOf(server, 0))));
  twins.push(String(await reaches(servers.servers[1].sockets[1], await mustMap(socket, home), socket, home)));
  await socket.close();
}

const hairpins: Record<string, unknown> = {};
for (const kind of KINDS) {
  for (const hairpin of [true, false]) {
    await lab.setBehaviour("left", { kind, hairpin });
    const [from, to] = [await a.open(), await neighbour.open()];
    const [source, target] = [await mustMap(from, home), await mustMap(to, home)];
    const through = await reaches(from, target, to, home);
    const heard = to.inbox.find((message) => message.text.startsWith("p"))?.from;
    hairpins[`${kind} ${hairpin}`] = {
      through,
      external: heard?.address === outside("left").ipv4,
      mapped: heard !== undefined && text(heard) === text(source),
    };
    await Promise.all([from.close(), to.close()]);
  }
}

await lab.setBehaviour("left", { kind: "full-cone" });
const forgetful = await a.open();
const before = await mustMap(forgetful, home);
const other = await a.open();
/** By another socket: asking with this one would open the mapping again. */
const comesIn = async (from: typeof stranger): Promise<boolean> => {
  const came = forgetful.inbox.length;
  await from.send(before, "knock");
  await mustMap(other, home);
  return forgetful.inbox.length > came;
};
const forgotten = {
  before: await comesIn(stranger),
  after: await lab.forget("left").then(() => comesIn(stranger)),
  again: await mustMap(forgetful, home).then(() => comesIn(stranger)),
};

await lab.setBehaviour("left", { kind: "full-cone", ports: "translated", udpTimeoutSeconds: FORGETS_S });
const fresh = await mustMap(forgetful, home);
let renewed = fresh;
// Ends because an idle mapping goes; the pause is longer than it lasts.
while (text(renewed) === text(fresh)) {
  await new Promise((resolve) => setTimeout(resolve, 1_500 * FORGETS_S));
  renewed = await mustMap(forgetful, home);
}

await lab.setBehaviour("left", { kind: "port-restricted" });
await lab.setBehaviour("right", { kind: "symmetric" });
const roaming = await a.open();
const places: Record<string, boolean> = {};
for (const to of ["right", PUBLIC, "home", "left"] as const) {
  await lab.move("a", to);
  const { address } = await mustMap(roaming, home);
  places[to] = address === (to === PUBLIC ? outside("a") : outside(to === "home" ? "carrier" : to)).ipv4;
}

const control = lab.addresses("control").ipv4 ?? "";
const listeners = await Promise.all(
  [443, 8_443].map(async (port) => {
    const server = createServer((socket) => socket.end("reached"));
    await once(server.listen(port, control), "listening");
    return server;
  }),
);
const connects = async (port: number, patienceMs: number): Promise<boolean> => {
  const client = `exec 3<>/dev/tcp/${control}/${port}; cat <&3`;
  const { stdout } = await lab.exec("a", ["timeout", String(patienceMs / 1_000), "bash", "-c", client]);
  return stdout === "reached";
};
const blocked: Record<string, unknown> = {};
for (const outbound of ["all", "no-udp", "tcp-443"] as const) {
  await lab.setBehaviour("left", { kind: "port-restricted", outbound });
  const udp = (await mapped(roaming, home, outbound === "all" ? undefined : SILENT_MS)) !== undefined;
  const other = await connects(8_443, outbound === "tcp-443" ? SILENT_MS : PATIENCE_MS);
  blocked[outbound] = { udp, "443": await connects(443, PATIENCE_MS), "8443": other };
}
for (const listener of listeners) listener.close();

const six6 = await classify(six, servers6, "udp6");
const far6 = await classify(far, servers6, "udp6");
const legacy = await six.open();
const ipv6 = {
  alone: { ...six6, mapped: six6.mapped.address === lab.addresses("six").ipv6 },
  carried: { ...far6, mapped: far6.mapped.address === lab.addresses("far").ipv6 },
  legacy: (await mapped(legacy, home, SILENT_MS)) !== undefined,
};

await lab.close();
const namespaces = (await run(["ip", "netns", "list"])).stdout.trim();
process.stdout.write(
  `${JSON.stringify({ classes, addresses: { left: outside("left").ipv4, carrier: outside("carrier").ipv4, open: outside("open").ipv4 }, table, twins, hairpins, forgotten, places, blocked, ipv6, namespaces })}\n`,
);
