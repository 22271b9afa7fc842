// Takes packets to send on standard input, a JSON document a line, and says which of those of others arrive here.
// argv: ports to listen on, for TCP and UDP
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

interface Probe {
  readonly id: number;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly port: number;
}

const TCP = 6;
/** Datagrams of one probe: the first ones may be lost while a tunnel comes up. */
const DATAGRAMS = 4;
const PAUSE_MS = 700;
/** A SYN is sent again after 1 and 3 s (RFC 6298 section 2). */
const CONNECT_MS = 4_000;

const say = (word: string, id: unknown): void => void process.stdout.write(`${word} ${String(id)}\n`);

async function listen(port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (data) => say("arrived", data.toString().trim()));
  });
  const socket = createSocket("udp6");
  socket.on("message", (data) => say("arrived", data.toString()));
  await Promise.all([
    new Promise<void>((resolve) => server.listen(port, "::", 511, resolve)),
    new Promise<void>((resolve) => socket.bind(port, "::", resolve)),
  ]);
}

function sendTcp({ id, source, destination, port }: Probe): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: destination, port, localAddress: source, timeout: CONNECT_MS });
    socket.once("connect", () => socket.end(`${id}\n`));
    socket.once("timeout", () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.once("close", () => resolve());
  });
}

async function sendUdp({ id, source, destination, port }: Probe): Promise<void> {
  const socket = createSocket(source.includes(":") ? "udp6" : "udp4");
  // An address that is gone, a network that is not reached: the packet does not arrive, which is the answer.
  const failed = new Promise<boolean>((resolve) => socket.on("error", () => resolve(false)));
  const bound = new Promise<boolean>((resolve) => socket.bind(0, source, () => resolve(true)));
  if (await Promise.race([failed, bound])) {
    for (let sent = 0; sent < DATAGRAMS; sent++) {
      socket.send(String(id), port, destination, () => undefined);
      await delay(PAUSE_MS);
    }
  }
  socket.close();
}

for (const port of process.argv.slice(2)) await listen(Number(port));
process.stdout.write("listening\n");
for await (const line of createInterface({ input: process.stdin })) {
  const probe = JSON.parse(line) as Probe;
  void (probe.protocol === TCP ? sendTcp(probe) : sendUdp(probe)).then(() => say("sent", probe.id));
}
