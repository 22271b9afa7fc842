// Sends something to an echo and wants it back; ends with 0 when it came, says why when not.
//   client.ts tcp HOST PORT | udp HOST PORT | socks PROXY_PORT HOST PORT | http PROXY_PORT HOST PORT
//   client.ts stay PROXY_PORT HOST PORT: by socks, a byte each 100 ms, until the connection ends
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const PAYLOAD = Buffer.alloc(300_000, "the quick brown fox ");
const DATAGRAM = Buffer.from("a datagram");
const TRIES = 5;
const WAIT_MS = 15_000;

async function opened(host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  await once(socket, "connect");
  return socket;
}

/** Reads until there are so many bytes. */
async function take(socket: Socket, count: number): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(count) as Buffer | null;
    if (chunk?.length === count) return chunk;
    if (socket.readableEnded || socket.destroyed) throw new Error("the connection ended");
    await Promise.race([once(socket, "readable"), once(socket, "end"), once(socket, "close")]);
  }
}

async function bySocks(proxy: number, host: string, port: number): Promise<Socket> {
  const socket = await opened("127.0.0.1", proxy);
  socket.write(Uint8Array.of(5, 1, 0));
  await take(socket, 2);
  const name = Buffer.from(host);
  socket.write(Buffer.concat([Uint8Array.of(5, 1, 0, 3, name.length), name, Uint8Array.of(port >> 8, port & 0xff)]));
  const head = await take(socket, 4);
  if (head[1] !== 0) throw new Error(`SOCKS reply ${head[1]}`);
  await take(socket, head[3] === 4 ? 18 : 6);
  return socket;
}

async function byHttp(proxy: number, host: string, port: number): Promise<Socket> {
  const socket = await opened("127.0.0.1", proxy);
  socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`);
  let head = "";
  while (!head.endsWith("\r\n\r\n")) head += (await take(socket, 1)).toString("latin1");
  if (!head.startsWith("HTTP/1.1 200")) throw new Error(`HTTP reply ${head.slice(9, 12)}`);
  return socket;
}

async function echo(socket: Socket): Promise<void> {
  socket.end(PAYLOAD);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  if (!Buffer.concat(chunks).equals(PAYLOAD)) throw new Error("something else came back");
}

async function datagram(host: string, port: number): Promise<void> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  try {
    const answer = once(socket, "message") as Promise<[Buffer]>;
    for (let tries = 0; tries < TRIES; tries++) {
      socket.send(DATAGRAM, port, host);
      const came = await Promise.race([answer, delay(1_000)]);
      if (came?.[0].equals(DATAGRAM)) return;
    }
    throw new Error("no datagram came back");
  } finally {
    socket.close();
  }
}

async function stay(socket: Socket): Promise<void> {
  for (;;) {
    socket.write("x");
    await take(socket, 1);
    process.stdout.write("x");
    await delay(100);
  }
}

async function run([kind, ...rest]: readonly string[]): Promise<void> {
  const [first = "", second = "", third = ""] = rest;
  switch (kind) {
    case "tcp":
      return await echo(await opened(first, Number(second)));
    case "udp":
      return await datagram(first, Number(second));
    case "socks":
      return await echo(await bySocks(Number(first), second, Number(third)));
    case "http":
      return await echo(await byHttp(Number(first), second, Number(third)));
    case "stay":
      return await stay(await bySocks(Number(first), second, Number(third)));
    default:
      throw new Error("unknown kind");
  }
}

const limit = process.argv[2] === "stay" ? 0 : WAIT_MS;
if (limit > 0) setTimeout(() => process.exit(2), limit).unref();
try {
  await run(process.argv.slice(2));
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
