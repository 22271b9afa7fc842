// Checks each byte of each connection and says how many came. argv: address port
import { createServer } from "node:net";
import { PATTERN } from "./bulk-pattern.ts";

const [address, port] = process.argv.slice(2);
createServer((socket) => {
  let came = 0;
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes) => {
    for (let at = 0; at < bytes.length;) {
      const expected = PATTERN.subarray(came % PATTERN.length).subarray(0, bytes.length - at);
      if (!expected.equals(bytes.subarray(at, at + expected.length))) {
        process.stdout.write(`broken: other bytes came after ${came}\n`);
        process.exit(1);
      }
      at += expected.length;
      came += expected.length;
    }
    process.stdout.write(`${came}\n`);
  });
}).listen(Number(port), address, () => process.stdout.write("listening\n"));
