// One TCP connection that is given more than it can take, about 6 MB/s at most. argv: address port. Ends with 1 when it breaks.
import { connect } from "node:net";
import { PATTERN } from "./bulk-pattern.ts";

const [host = "", port] = process.argv.slice(2);
const socket = connect({ host, port: Number(port) });
const fail = (why: string): never => {
  process.stdout.write(`broken: ${why}\n`);
  process.exit(1);
};
socket.on("error", (error) => fail(error.message));
socket.on("close", () => fail("closed"));
socket.on("connect", () => setInterval(() => socket.writableNeedDrain || socket.write(PATTERN), 10));
