// Sends back each line of each connection. argv: address port
import { createServer } from "node:net";

const [address, port] = process.argv.slice(2);
createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
}).listen(Number(port), address, () => process.stdout.write("listening\n"));
