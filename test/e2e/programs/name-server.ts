// A name server with one answer: ADDRESS IPV4. Over UDP it shortens what is asked about names that begin with `big`.
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

const [address = "", answer = ""] = process.argv.slice(2);
const PORT = 53;
const [HEADER, QUESTION_TAIL, A] = [12, 5, 1];

function reply(query: Buffer, overUdp: boolean): Buffer {
  const end = query.indexOf(0, HEADER) + QUESTION_TAIL;
  const question = query.subarray(HEADER, end);
  const isShort = overUdp && question.toString("latin1", 1, 4) === "big";
  const isA = question.readUInt16BE(question.length - 4) === A;
  const head = Buffer.from(query.subarray(0, HEADER));
  head.writeUInt16BE(isShort ? 0x8380 : 0x8180, 2);
  head.writeUInt16BE(isA && !isShort ? 1 : 0, 6);
  head.fill(0, 8);
  if (!isA || isShort) return Buffer.concat([head, question]);
  const record = Buffer.from([0xc0, HEADER, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, ...answer.split(".").map(Number)]);
  return Buffer.concat([head, question, record]);
}

const udp = createSocket(address.includes(":") ? "udp6" : "udp4");
udp.on("message", (query, from) => udp.send(reply(query, true), from.port, from.address));
udp.bind(PORT, address, () => {
  const tcp = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    // One query in one segment is all that its one asker sends.
    socket.on("data", (framed) => {
      const bytes = reply(framed.subarray(2), false);
      socket.write(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]));
    });
  });
  tcp.listen(PORT, address, () => console.log("listening"));
});
