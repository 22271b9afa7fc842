// Opens and uses UDP sockets where it runs, as it is told line by line; sockets.ts is the other side.
import { createSocket, type Socket } from "node:dgram";
import { createInterface } from "node:readline";
import type { SocketEvent, SocketOrder } from "../sockets.ts";

const sockets = new Map<number, Socket>();
const tell = (event: SocketEvent): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

function obey(order: SocketOrder): void {
  if (order.do === "open") {
    const socket = createSocket(order.family);
    sockets.set(order.socket, socket);
    socket.on("message", (message, { address, port }) =>
      tell({ event: "message", socket: order.socket, from: { address, port }, text: message.toString() }),
    );
    socket.bind(order.port, () => tell({ event: "done", order: order.order, port: socket.address().port }));
  } else if (order.do === "send") {
    const { port, address } = order.to;
    sockets.get(order.socket)?.send(order.text, port, address, (error) =>
      // What cannot leave is a datagram that nobody gets.
      tell({ event: "done", order: order.order, port: error ? 0 : port }),
    );
  } else {
    sockets.get(order.socket)?.close(() => tell({ event: "done", order: order.order, port: 0 }));
    sockets.delete(order.socket);
  }
}

createInterface({ input: process.stdin }).on("line", (line) => obey(JSON.parse(line) as SocketOrder));
