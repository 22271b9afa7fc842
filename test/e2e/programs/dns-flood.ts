// Sends so many datagrams to ADDRESS:53, half of them garbage, the others questions that nobody asked before.
import { createSocket } from "node:dgram";

const [address = "", count = "0"] = process.argv.slice(2);
const socket = createSocket("udp4");
const send = (bytes: Buffer) => new Promise<void>((resolve) => socket.send(bytes, 53, address, () => resolve()));
for (let number = 0; number < Number(count); number += 1) {
  const label = `n${number}`;
  const head = Buffer.from([(number >> 8) & 0xff, number & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const name = Buffer.concat([
    Buffer.from([label.length]),
    Buffer.from(label),
    Buffer.from("\x07example\0\0\x01\0\x01"),
  ]);
  await send(number % 2 === 0 ? Buffer.concat([head, name]) : name.subarray(0, number % name.length));
}
socket.close();
