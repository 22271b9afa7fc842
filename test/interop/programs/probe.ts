// Sends into the overlay from one of this machine's addresses. argv: udp|tcp SOURCE DESTINATION PORT
// udp: three datagrams. tcp: one connection; says `connected`, or `silent` when nothing came back in a second.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";

const DATAGRAMS = 3;
const PATIENCE_MS = 1_000;

const [kind, source = "", destination = "", port = ""] = process.argv.slice(2);
if (kind === "udp") {
  const socket = createSocket("udp4");
  socket.bind({ address: source });
  await once(socket, "listening");
  for (let count = 0; count < DATAGRAMS; count++) {
    await new Promise<void>((resolve, reject) => {
      socket.send(Buffer.alloc(64), Number(port), destination, (error) => (error ? reject(error) : resolve()));
    });
  }
  socket.close();
} else {
  const socket = connect({ host: destination, port: Number(port), localAddress: source, timeout: PATIENCE_MS });
  const said = await Promise.race([
    once(socket, "connect").then(() => "connected"),
    once(socket, "timeout").then(() => "silent"),
  ]);
  process.stdout.write(said);
  socket.destroy();
}
