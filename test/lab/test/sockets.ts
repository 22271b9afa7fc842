import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Lab } from "../index.ts";

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export type SocketOrder =
  | { do: "open"; order: number; socket: number; family: "udp4" | "udp6"; port: number }
  | { do: "send"; order: number; socket: number; to: Endpoint; text: string }
  | { do: "close"; order: number; socket: number };
export type SocketEvent =
  | { event: "done"; order: number; port: number }
  | { event: "message"; socket: number; from: Endpoint; text: string };

export interface Message {
  readonly from: Endpoint;
  readonly text: string;
}

/** A UDP socket on a machine of the lab. */
export interface LabSocket {
  readonly port: number;
  /** What came so far, in order. */
  readonly inbox: readonly Message[];
  onMessage: (message: Message) => void;
  /** Ends when the kernel has it. */
  send(to: Endpoint, text: string): Promise<void>;
  close(): Promise<void>;
}

/** Opens sockets on a machine. */
export interface SocketOpener {
  open(family?: "udp4" | "udp6", port?: number): Promise<LabSocket>;
  /** Ends the program; a lab ends those on its own machines, not those beside itself. */
  end(): void;
}

const PROGRAM = fileURLToPath(new URL("programs/datagrams.ts", import.meta.url));

/** Starts the program that holds the sockets. */
export async function socketsOn(lab: Lab, node: string): Promise<SocketOpener> {
  const child = await lab.spawn(node, [process.execPath, PROGRAM], { stdio: ["pipe", "pipe", "inherit"] });
  const { stdin, stdout } = child;
  if (!stdin || !stdout) throw new Error("the program has no streams");
  const waiting = new Map<number, (port: number) => void>();
  const receivers = new Map<number, (message: Message) => void>();
  createInterface({ input: stdout }).on("line", (line) => {
    const event = JSON.parse(line) as SocketEvent;
    if (event.event === "message") receivers.get(event.socket)?.(event);
    else waiting.get(event.order)?.(event.port);
  });
  let orders = 0;
  const ask = (order: (number: number) => SocketOrder): Promise<number> => {
    orders += 1;
    const { promise, resolve } = Promise.withResolvers<number>();
    waiting.set(orders, resolve);
    stdin.write(`${JSON.stringify(order(orders))}\n`);
    return promise;
  };
  let sockets = 0;
  return {
    end: () => void child.kill(),
    open: async (family = "udp4", wanted = 0) => {
      sockets += 1;
      const socket = sockets;
      const inbox: Message[] = [];
      const opened: LabSocket = {
        port: 0,
        inbox,
        onMessage: () => undefined,
        send: async (to, text) => void (await ask((order) => ({ do: "send", order, socket, to, text }))),
        close: async () => void (await ask((order) => ({ do: "close", order, socket }))),
      };
      receivers.set(socket, (message) => {
        inbox.push(message);
        opened.onMessage(message);
      });
      const port = await ask((order) => ({ do: "open", order, socket, family, port: wanted }));
      return Object.assign(opened, { port });
    },
  };
}
