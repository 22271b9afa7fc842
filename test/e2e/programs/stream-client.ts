// One TCP connection that sends a number each 20 ms and checks that they come back in order; says each number that came.
// argv: address port. Ends with 1 when the connection breaks or the order does.
import { connect } from "node:net";
import { createInterface } from "node:readline";

const [host = "", port] = process.argv.slice(2);
const socket = connect({ host, port: Number(port) });
const fail = (why: string): never => {
  process.stdout.write(`broken: ${why}\n`);
  process.exit(1);
};
socket.on("error", (error) => fail(error.message));
socket.on("close", () => fail("closed"));
let sent = 0;
let expected = 0;
socket.on("connect", () => setInterval(() => socket.write(`${sent++}\n`), 20));
createInterface({ input: socket }).on("line", (line) => {
  if (Number(line) !== expected) fail(`${line} came instead of ${expected}`);
  expected += 1;
  process.stdout.write(`${line}\n`);
});
