import { connect as connectHttp2, type ClientHttp2Session, type OutgoingHttpHeaders } from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { pemOf } from "@cloudvlan/kit/pki";
import type { Credential } from "./certificates.ts";
import type { Installation } from "./installation.ts";

/** Error codes of HTTP/2 (RFC 9113 section 7). */
export const HTTP2_ENHANCE_YOUR_CALM = 0xb;

export interface WireOptions {
  readonly credential?: Credential;
  /** Address of ours to call from, in 127.0.0.0/8. */
  readonly from?: string;
  /** Bytes the server may send on a stream before it is told to go on. */
  readonly window?: number;
}

/** What came back, undigested. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly trailers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** An HTTP/2 connection below any RPC library. Errors of the connection are those of its requests. */
export function openSession(installation: Installation, options: WireOptions = {}): ClientHttp2Session {
  const { credential, from = "127.0.0.1", window } = options;
  const session = connectHttp2(installation.url, {
    createConnection: () =>
      connectTls({
        socket: connectTcp({ host: "127.0.0.1", port: installation.port, localAddress: from }),
        servername: "localhost",
        ca: pemOf(installation.roots),
        ALPNProtocols: ["h2"],
        minVersion: "TLSv1.3",
        ...(credential && { cert: pemOf(credential.certificate), key: credential.key }),
      }),
    ...(window !== undefined && { settings: { initialWindowSize: window } }),
  });
  session.on("error", () => undefined);
  return session;
}

/** Sends one request and reads the whole answer. @throws Error with the code of the reset when the stream is cut. */
export function send(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: Uint8Array): Promise<RawAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  if (session.closed || session.destroyed) return Promise.reject(new Error("the connection is closed"));
  const stream = session.request({ ":method": "POST", ...headers });
  let answer: Omit<RawAnswer, "body" | "trailers"> | undefined;
  let trailers: RawAnswer["trailers"] = {};
  const chunks: Buffer[] = [];
  stream.on("response", ({ ":status": status = 0, ...rest }) => (answer = { status, headers: rest }));
  stream.on("trailers", (given) => (trailers = given));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", reject);
  stream.on("close", () => {
    if (answer) resolve({ ...answer, trailers, body: Buffer.concat(chunks) });
    else reject(new Error(`the stream was closed with code ${stream.rstCode} and no answer`));
  });
  stream.end(body);
  return promise;
}

/** One message in the envelope of gRPC and of Connect's streams. */
export function envelope(message: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
