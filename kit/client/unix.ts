import { connect } from "node:net";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { traced } from "../telemetry/index.ts";
import type { Connection } from "./connect-to.ts";
import { resilient } from "./resilient.ts";

/** Only the socket decides whom is spoken to; HTTP wants a name all the same. */
const AUTHORITY = "http://localhost";

/** Connects by the Connect protocol over HTTP/2 on a unix socket, whose folder's permissions say who may. */
export function unixTransport(path: string): Connection {
  const sessions = new Http2SessionManager(AUTHORITY, {}, { createConnection: () => connect(path) });
  const transport = createConnectTransport({ httpVersion: "2", baseUrl: AUTHORITY, sessionManager: sessions });
  return { ...traced(resilient(transport, path)), close: () => sessions.abort() };
}
