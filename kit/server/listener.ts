import { createSecureServer, type Http2SecureServer } from "node:http2";
import { hasOption } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { assertByteStreamRequest, type UniversalHandler } from "@connectrpc/connect/protocol";
import { access } from "@cloudvlan/gen/options/v1/options_pb.js";
import { accessOf, pathOf } from "../access/index.ts";
import { Refusal } from "../errors/index.ts";
import { addressLimit, type Peer, peerKey } from "../interceptors/index.ts";
import type { Logger } from "../log/index.ts";
import { certificatesOf, pemOf } from "../pki/index.ts";
import { type ConnectionLimits, limitConnections } from "./connections.ts";
import { type FrameRoute, serveFrames } from "./frame-handler.ts";
import { isOpen, type NodeRequest, type NodeResponse, reset, sendEnd, sendHead } from "./response.ts";
import { peers } from "./tls-peer.ts";

/** Bytes of a request message. */
export const MAX_BODY_BYTES = 1_048_576;
/** Bytes of a request, compressed or not, to what the anonymous may call: the largest of them is a join. */
const MAX_ANONYMOUS_BYTES = 16_384;
const MAX_HEADER_BYTES = 32_768;
const HANDSHAKE_MS = 10_000;
/** Milliseconds in which a request has to arrive whole. */
const REQUEST_MS = 30_000;
/** Milliseconds between looks at which HTTP/1.1 connections are past their time. */
const HTTP1_LOOK_MS = 5_000;
/** Milliseconds that a caller gets to end a request that is already answered. */
const ABANDONED_MS = 1_000;
/** How often over its rate an address may be before its connections are closed: refusing each request costs as well. */
const FLOOD_FACTOR = 4;
const HTTP2_NO_ERROR = 0x0;
const HTTP2_REFUSED_STREAM = 0x7;

/** What the listener shows of itself. */
export interface ListenerIdentity {
  /** PEM, leaf first, without the root. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
  /** DER; clients are told that certificates of these count. */
  readonly roots: readonly Uint8Array[];
  /** DER: other certificates between our roots and clients' leaves. */
  readonly intermediates: readonly Uint8Array[];
}

export interface ListenerOptions {
  readonly address: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly identity: ListenerIdentity;
  readonly handlers: readonly UniversalHandler[];
  readonly frames: readonly FrameRoute[];
  readonly limits: ConnectionLimits & { readonly streamsPerConnection: number; readonly requestsPerSecond: number };
  readonly log: Logger;
}

export interface Listener {
  readonly port: number;
  /** Shows another certificate from the next handshake on; open connections stay. */
  renew(identity: ListenerIdentity): void;
  /** Takes no more connections, waits for the requests in flight, then closes everything. */
  drain(milliseconds: number): Promise<void>;
}

/** For HTTP/1.1; the type of the server's options leaves them out. */
const HTTP1_LIMITS = {
  headersTimeout: HANDSHAKE_MS,
  requestTimeout: REQUEST_MS,
  connectionsCheckingInterval: HTTP1_LOOK_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
};

function secureContext(identity: ListenerIdentity) {
  return {
    cert: identity.certificate,
    key: identity.key,
    ca: pemOf(identity.roots),
    minVersion: "TLSv1.3" as const,
  };
}

function tooLate(request: NodeRequest, response: NodeResponse): void {
  if ("stream" in request && request.stream.endAfterHeaders) return;
  const timer = setTimeout(() => {
    if (!request.complete) reset(response, HTTP2_REFUSED_STREAM);
  }, REQUEST_MS);
  const clear = (): void => clearTimeout(timer);
  request.once("end", clear);
  response.once("close", clear);
}

/**
 * Ends a request whose answer is complete before its body is (RFC 9113 section 8.1): nobody reads the rest. Not at once:
 * a reset overtakes the trailers that say why.
 */
function endWithAnswer(request: NodeRequest): void {
  if (!("stream" in request)) return;
  const { stream } = request;
  stream.once("finish", () => {
    const timer = setTimeout(() => stream.close(HTTP2_NO_ERROR), ABANDONED_MS);
    stream.once("close", () => clearTimeout(timer));
  });
}

/** @throws Refusal `unavailable` when the address cannot be had. */
async function listen(server: Http2SecureServer, address: string, port: number): Promise<number> {
  const started = Promise.withResolvers<void>();
  server.once("error", started.reject);
  server.listen(port, address, started.resolve);
  try {
    await started.promise;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new Refusal("unavailable", "LISTEN", `cannot listen on ${address} port ${port} (${code})`, {
      field: "listen",
      remedy: "choose a port that is free and an address of this machine",
    });
  }
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("the listener has no port");
  return bound.port;
}

/** HTTP/2 only announces its limit (RFC 9113 section 10.5.1); up to 64 KiB arrive all the same. */
function headerBytes(request: NodeRequest): number {
  return request.rawHeaders.reduce((bytes, text) => bytes + text.length, 0);
}

async function* atMost(body: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > bytes) {
      throw new Refusal("exhausted", "BODY_TOO_LARGE", `a request without a credential has at most ${bytes} bytes`, {
        remedy: "send less, or call an operation that knows its caller",
      }).toConnectError();
    }
    yield chunk;
  }
}

/** True when somebody who is not known gets as far as having the body read. */
function isAnonymous({ method }: UniversalHandler): boolean {
  return !hasOption(method, access) || accessOf(method).anonymous;
}

async function serveRpc(
  handler: UniversalHandler,
  request: NodeRequest,
  response: NodeResponse,
  peer: Peer,
): Promise<void> {
  const contextValues = createContextValues().set(peerKey, peer);
  const received = universalRequestFromNodeRequest(request, response, undefined, contextValues);
  assertByteStreamRequest(received);
  const answer = await handler(
    isAnonymous(handler) ? { ...received, body: atMost(received.body, MAX_ANONYMOUS_BYTES) } : received,
  );
  await universalResponseToNodeResponse(answer, response);
}

/** Serves RPCs over TLS 1.3: HTTP/2 and HTTP/1.1 by ALPN; Connect, gRPC and gRPC-Web by content type. */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const { log, limits } = options;
  let identity = options.identity;
  const peerOf = peers(() => [...certificatesOf(identity.certificate).slice(1), ...identity.intermediates]);
  const frames = new Map(options.frames.map((route) => [pathOf(route.stream.method), route]));
  const handlers = new Map(options.handlers.map((handler) => [handler.requestPath, handler]));
  const flood = addressLimit(limits.requestsPerSecond * FLOOD_FACTOR);
  const inFlight = new Set<NodeResponse>();
  let onIdle = (): void => {};

  /** False when the connection was closed. */
  async function isBearable(request: NodeRequest): Promise<boolean> {
    const peer = peerOf(request);
    try {
      if (peer.kind === "tls") await flood(peer.address);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if ("stream" in request) request.stream.session?.destroy();
      else request.socket.destroy();
      return false;
    }
  }

  async function answer(request: NodeRequest, response: NodeResponse): Promise<void> {
    if (!(await isBearable(request))) return;
    if (headerBytes(request) > MAX_HEADER_BYTES) {
      sendHead(response, 431);
      return sendEnd(response);
    }
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    const frame = frames.get(path);
    if (frame) return serveFrames(frame, request, response, peerOf(request));
    const handler = handlers.get(path);
    if (handler) return serveRpc(handler, request, response, peerOf(request));
    sendHead(response, 404);
    sendEnd(response);
  }

  const server = createSecureServer(
    {
      ...secureContext(identity),
      requestCert: true,
      rejectUnauthorized: false,
      allowHTTP1: true,
      handshakeTimeout: HANDSHAKE_MS,
      maxSessionInvalidFrames: 100,
      maxSessionMemory: 16,
      settings: { maxConcurrentStreams: limits.streamsPerConnection, maxHeaderListSize: MAX_HEADER_BYTES },
      ...HTTP1_LIMITS,
    },
    (request: NodeRequest, response: NodeResponse) => {
      inFlight.add(response);
      response.once("close", () => {
        inFlight.delete(response);
        if (inFlight.size === 0) onIdle();
      });
      tooLate(request, response);
      endWithAnswer(request);
      answer(request, response).catch((error: unknown) => {
        // Whatever a caller sends, or leaves unread, ends its own request and nothing else.
        if (ConnectError.from(error).code !== Code.Aborted) log.debug({ error }, "a request could not be answered");
        if (isOpen(response)) reset(response, HTTP2_REFUSED_STREAM);
      });
    },
  );
  server.on("tlsClientError", (error) => log.debug({ error: error.message }, "TLS handshake failed"));
  server.on("sessionError", (error) => log.debug({ error: error.message }, "HTTP/2 session failed"));
  const connections = limitConnections(server, limits);
  const port = await listen(server, options.address, options.port);
  server.on("error", (error) => log.error({ error }, "listener failed"));

  return {
    port,
    renew(next) {
      identity = next;
      server.setSecureContext(secureContext(next));
    },
    async drain(milliseconds) {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      if (inFlight.size > 0) {
        const idle = Promise.withResolvers<void>();
        onIdle = idle.resolve;
        const timer = setTimeout(idle.resolve, milliseconds);
        await idle.promise;
        clearTimeout(timer);
      }
      connections.closeAll();
      await closed;
    },
  };
}
