// Numbered datagrams. argv: `send DESTINATION PORT RATE COUNT`, a second and in all; or `receive PORT`, which prints each number on a line.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";

const TICK_MS = 10;
const BYTES = 200;

const [verb, ...args] = process.argv.slice(2);
if (verb === "send") {
  const [destination = "", port, rate, count] = [args[0], Number(args[1]), Number(args[2]), Number(args[3])];
  const socket = createSocket(destination.includes(":") ? "udp6" : "udp4");
  const began = performance.now();
  for (let sent = 0; sent < count; sent++) {
    while (((performance.now() - began) * rate) / 1000 < sent) await delay(TICK_MS);
    const datagram = Buffer.alloc(BYTES);
    datagram.writeUInt32BE(sent);
    await new Promise<void>((resolve, reject) => {
      socket.send(datagram, port, destination, (error) => (error ? reject(error) : resolve()));
    });
  }
  socket.close();
} else {
  const socket = createSocket({ type: "udp6", recvBufferSize: 1 << 20 });
  socket.on("message", (datagram) => process.stdout.write(`${datagram.readUInt32BE()}\n`));
  socket.bind(Number(args[0]));
  await once(socket, "listening");
  process.stdout.write("listening\n");
}
