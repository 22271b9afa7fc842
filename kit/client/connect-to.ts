import { checkServerIdentity as checkHost, type PeerCertificate } from "node:tls";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { parseSpiffe, pemOf } from "../pki/index.ts";
import { traced } from "../telemetry/index.ts";
import { resilient } from "./resilient.ts";

/** Milliseconds of silence on a connection in use after which it is probed; longer than the pause between two heads. */
const PING_MS = 40_000;
const PING_TIMEOUT_MS = 10_000;
/** Bytes of one message; a frame of the map is at most 4 MiB. */
const READ_MAX_BYTES = 8_388_608;

export interface ConnectOptions {
  /** The only roots that are trusted, DER. */
  readonly roots: readonly Uint8Array[];
  /** Client certificate, DER, leaf first; with `key`. */
  readonly certificate?: readonly Uint8Array[];
  /** Private key of the certificate, PEM. */
  readonly key?: string;
  /** API key, for people. */
  readonly bearer?: string;
}

/** A transport to one server, over one HTTP/2 connection that comes back by itself. */
export interface Connection extends Transport {
  /** Ends the connection and what runs on it. */
  close(): void;
}

class ServerNotTrusted extends Error {
  readonly code = "SERVER_NOT_TRUSTED";
}

/** Every certificate of the installation comes from one CA, nodes' too: only the platform may answer as the platform. */
export function checkPlatform(host: string, certificate: PeerCertificate): Error | undefined {
  const wrongHost = checkHost(host, certificate);
  if (wrongHost) return wrongHost;
  const uris = (certificate.subjectaltname ?? "").split(", ").filter((name) => name.startsWith("URI:"));
  const spiffe = uris.length === 1 ? parseSpiffe((uris[0] ?? "").slice("URI:".length)) : undefined;
  if (spiffe?.kind === "controller" || spiffe?.kind === "service") return undefined;
  return new ServerNotTrusted("the server's certificate is not one of the platform");
}

function withBearer(bearer: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${bearer}`);
    return next(request);
  };
}

/**
 * Connects by gRPC over TLS 1.3 to the control plane. Nothing is sent before the first call.
 * @param url https; its host must be a name of the server's certificate.
 */
export function connectTo(url: string, options: ConnectOptions): Connection {
  const { protocol, origin } = new URL(url);
  if (protocol !== "https:") throw new TypeError(`the control plane is reached by https, not ${url}`);
  const { certificate, key, bearer } = options;
  const sessions = new Http2SessionManager(
    origin,
    { pingIntervalMs: PING_MS, pingTimeoutMs: PING_TIMEOUT_MS },
    {
      ca: pemOf(options.roots),
      minVersion: "TLSv1.3",
      checkServerIdentity: checkPlatform,
      ...(certificate !== undefined && key !== undefined && { cert: pemOf(certificate), key }),
    },
  );
  const transport = createGrpcTransport({
    baseUrl: origin,
    sessionManager: sessions,
    readMaxBytes: READ_MAX_BYTES,
    interceptors: bearer === undefined ? [] : [withBearer(bearer)],
  });
  return { ...traced(resilient(transport, origin)), close: () => sessions.abort() };
}
