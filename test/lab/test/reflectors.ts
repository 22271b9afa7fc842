import { setTimeout as delay } from "node:timers/promises";
import type { Endpoint, LabSocket, SocketOpener } from "./sockets.ts";

/** Two servers with two ports each, which answer with the address they see (RFC 5780, section 3). */
export interface Reflectors {
  readonly servers: readonly [Reflector, Reflector];
}

interface Reflector {
  readonly address: string;
  readonly sockets: readonly [LabSocket, LabSocket];
}

const RETRY_MS = 200;
const CEILING_MS = 20_000;
/** Times that something is asked for which may be let through, before it counts as filtered. */
const PROBES = 4;

export const text = ({ address, port }: Endpoint): string => `${address}:${port}`;
const endpoint = (line: string): Endpoint => {
  const at = line.lastIndexOf(":");
  return { address: line.slice(0, at), port: Number(line.slice(at + 1)) };
};
export const portOf = (server: Reflector, which: 0 | 1): Endpoint => ({
  address: server.address,
  port: server.sockets[which].port,
});

async function reflector(opener: SocketOpener, address: string, family: "udp4" | "udp6"): Promise<Reflector> {
  const sockets = [await opener.open(family), await opener.open(family)] as const;
  for (const socket of sockets) {
    socket.onMessage = ({ from, text: asked }) => void socket.send(from, `${asked} ${text(from)}`);
  }
  return { address, sockets };
}

export async function reflectors(
  servers: readonly [SocketOpener, SocketOpener],
  addresses: readonly [string, string],
  family: "udp4" | "udp6" = "udp4",
): Promise<Reflectors> {
  const [one, other] = servers;
  return { servers: [await reflector(one, addresses[0], family), await reflector(other, addresses[1], family)] };
}

let asked = 0;

/**
 * The address that a server sees of a socket; undefined when it does not answer within the patience.
 * When it does, all that was on its way to the socket before has come.
 */
export async function mapped(
  socket: LabSocket,
  server: Endpoint,
  patienceMs = CEILING_MS,
): Promise<Endpoint | undefined> {
  asked += 1;
  const question = `q${asked}`;
  for (const end = performance.now() + patienceMs; performance.now() < end;) {
    await socket.send(server, question);
    for (const again = performance.now() + RETRY_MS; performance.now() < again; await delay(2)) {
      const answer = socket.inbox.find(({ text: line }) => line.startsWith(`${question} `));
      if (answer) return endpoint(answer.text.slice(question.length + 1));
    }
  }
  return undefined;
}

async function mustMap(socket: LabSocket, server: Endpoint): Promise<Endpoint> {
  const seen = await mapped(socket, server);
  if (!seen) throw new Error(`${text(server)} does not answer`);
  return seen;
}

/** Whether what `from` sends to an address reaches a socket. @param home a server that the socket called already */
export async function reaches(from: LabSocket, to: Endpoint, socket: LabSocket, home: Endpoint): Promise<boolean> {
  for (let probe = 0; probe < PROBES; probe += 1) {
    asked += 1;
    const word = `p${asked}`;
    await from.send(to, word);
    await mustMap(socket, home);
    if (socket.inbox.some((message) => message.text === word)) return true;
  }
  return false;
}

export interface Classified {
  readonly mapping: string;
  readonly filtering: string;
  /** Whether the port seen outside is the socket's own. */
  readonly preserved: boolean;
  readonly mapped: Endpoint;
}

/** Classifies what is between a host and the servers by RFC 5780, sections 4.3 and 4.4, with a socket for each question. */
export async function classify(
  opener: SocketOpener,
  { servers }: Reflectors,
  family: "udp4" | "udp6" = "udp4",
): Promise<Classified> {
  const [one, other] = servers;
  const asks = await opener.open(family);
  const first = await mustMap(asks, portOf(one, 0));
  const second = await mustMap(asks, portOf(one, 1));
  const third = await mustMap(asks, portOf(other, 0));
  const same = (a: Endpoint, b: Endpoint): boolean => text(a) === text(b);
  const mapping =
    same(first, second) && same(first, third)
      ? "endpoint-independent"
      : same(first, second)
        ? "address-dependent"
        : "address-and-port-dependent";

  const hears = await opener.open(family);
  const home = portOf(one, 0);
  const at = await mustMap(hears, home);
  const byOtherAddress = await reaches(other.sockets[0], at, hears, home);
  const byOtherPort = await reaches(one.sockets[1], at, hears, home);
  const filtering = byOtherAddress
    ? "endpoint-independent"
    : byOtherPort
      ? "address-dependent"
      : "address-and-port-dependent";
  const preserved = first.port === asks.port;
  await asks.close();
  await hears.close();
  return { mapping, filtering, preserved, mapped: first };
}

/** Rounds of a punch: enough for both to learn where the other sends from. */
const ROUNDS = 4;

/** Whether two hosts reach each other after both sent to where a server sees the other, and then to where they heard from. */
export async function punch(a: SocketOpener, b: SocketOpener, { servers }: Reflectors): Promise<boolean> {
  const home = portOf(servers[0], 0);
  const [left, right] = [await a.open(), await b.open()];
  let [toRight, toLeft] = [await mustMap(right, home), await mustMap(left, home)];
  let direct = false;
  for (let round = 0; round < ROUNDS; round += 1) {
    const word = `hello ${round}`;
    const heard = (socket: LabSocket): Endpoint | undefined =>
      socket.inbox.findLast((message) => message.text === word)?.from;
    await Promise.all([left.send(toRight, word), right.send(toLeft, word)]);
    await Promise.all([mustMap(left, home), mustMap(right, home)]);
    const [byLeft, byRight] = [heard(left), heard(right)];
    toRight = byLeft ?? toRight;
    toLeft = byRight ?? toLeft;
    direct = byLeft !== undefined && byRight !== undefined;
  }
  await Promise.all([left.close(), right.close()]);
  return direct;
}
