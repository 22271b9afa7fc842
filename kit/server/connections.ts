import type { Http2SecureServer, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { addressLimit, limitKey } from "../interceptors/address-limit.ts";
import { plainAddress } from "./tls-peer.ts";

/** Milliseconds from the end of a handshake to the first request. */
const FIRST_REQUEST_MS = 20_000;
/** Milliseconds without a byte after which a connection is closed. */
const IDLE_MS = 600_000;
/** Connections of the whole process. */
const MAX_CONNECTIONS = 50_000;

/** How many connections an address may have, and make in a second. */
export interface ConnectionLimits {
  readonly connectionsPerAddress: number;
  readonly handshakesPerSecond: number;
}

/**
 * Bounds what connections cost before and between requests: how many an address has, how many it makes, and how long
 * they may idle.
 */
export function limitConnections(server: Http2SecureServer, limits: ConnectionLimits): { closeAll(): void } {
  const open = new Set<Socket>();
  const counts = new Map<string, number>();
  const newConnection = addressLimit(limits.handshakesPerSecond);
  server.maxConnections = MAX_CONNECTIONS;

  server.on("connection", (socket: Socket) => {
    const address = plainAddress(socket.remoteAddress ?? "");
    const key = limitKey(address);
    const count = (counts.get(key) ?? 0) + 1;
    if (count > limits.connectionsPerAddress) {
      socket.destroy();
      return;
    }
    newConnection(address).catch(() => socket.destroy());
    counts.set(key, count);
    open.add(socket);
    socket.once("close", () => {
      open.delete(socket);
      const left = (counts.get(key) ?? 1) - 1;
      if (left > 0) counts.set(key, left);
      else counts.delete(key);
    });
  });

  server.on("session", (session: ServerHttp2Session) => {
    const first = setTimeout(() => session.close(), FIRST_REQUEST_MS).unref();
    session.once("stream", () => clearTimeout(first));
    session.once("close", () => clearTimeout(first));
    // What is open and silent for so long is a reader that reads nothing: every stream of ours says something sooner.
    session.setTimeout(IDLE_MS, () => session.destroy());
  });

  return {
    closeAll: () => {
      for (const socket of open) socket.destroy();
    },
  };
}
