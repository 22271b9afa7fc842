// Sends a numbered datagram each millisecond and notes which come back; when its standard input ends it waits for the last
// ones and says how many went and how many came, and the longest silence in milliseconds. argv: own address, address, port.
import { createSocket } from "node:dgram";

const LAST_MS = 2_000;
const [own = "", address = "", port] = process.argv.slice(2);
const socket = createSocket("udp4");
const came = new Set<number>();
let sent = 0;
let heardAt = 0;
let silence = 0;
socket.on("message", (message) => {
  const now = performance.now();
  if (heardAt > 0) silence = Math.max(silence, now - heardAt);
  heardAt = now;
  came.add(message.readUInt32BE());
});
socket.bind(0, own, () => {
  const began = performance.now();
  const sending = setInterval(() => {
    for (; sent < performance.now() - began; sent += 1) {
      const message = Buffer.alloc(64);
      message.writeUInt32BE(sent);
      socket.send(message, Number(port), address);
    }
  }, 1);
  process.stdin.on("end", () => {
    clearInterval(sending);
    const silenceMs = Math.round(silence);
    setTimeout(() => {
      process.stdout.write(`${JSON.stringify({ sent, came: came.size, silenceMs })}\n`);
      process.exit(0);
    }, LAST_MS);
  });
  process.stdin.resume();
});
