// Echoes TCP and UDP on an address and port of this host: server.ts ADDRESS PORT
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

const [address = "", port = ""] = process.argv.slice(2);

const tcp = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
});
tcp.listen(Number(port), address);
await once(tcp, "listening");

const udp = createSocket(address.includes(":") ? "udp6" : "udp4");
udp.on("message", (message, from) => udp.send(message, from.port, from.address));
udp.bind(Number(port), address);
await once(udp, "listening");
process.stdout.write("listening\n");
