import { fromBinary, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Interceptor } from "@connectrpc/connect";
import { pathOf } from "../access/index.ts";
import { callerKey } from "../caller/index.ts";
import { Refusal } from "../errors/index.ts";
import { deadlineError, type Gate, type Peer, peerKey } from "../interceptors/index.ts";
import type { Logger } from "../log/index.ts";
import { frameOf } from "./frame.ts";
import { writeFrame } from "./frame-writer.ts";
import type { FrameStream } from "./index.ts";
import { isOpen, type NodeRequest, type NodeResponse, sendEnd, sendHead } from "./response.ts";
import { type StreamProtocol, streamProtocolOf } from "./stream-protocol.ts";

/** Bytes of the one request message of a frame stream. */
const MAX_REQUEST_BYTES = 65_536;

export interface FrameRoute {
  readonly stream: FrameStream;
  readonly interceptors: readonly Interceptor[];
  readonly gate: Gate;
  readonly log: Logger;
  /** Milliseconds for which a reader may take nothing. */
  readonly drainMs: number;
}

type AnyCall = Parameters<Interceptor>[0];

function malformed(message: string): Refusal {
  return new Refusal("invalid", "MALFORMED_REQUEST", message, {
    remedy: "send one uncompressed message in one envelope",
  });
}

/** Reads the single enveloped message of a server stream's request. */
async function readRequest(request: NodeRequest): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > MAX_REQUEST_BYTES) throw malformed(`the request is over ${MAX_REQUEST_BYTES} bytes`);
    chunks.push(bytes);
  }
  const body = Buffer.concat(chunks);
  if (body.length < 5) throw malformed("the request has no message");
  if (body[0] !== 0) throw malformed("the request is compressed or not a message");
  if (body.readUInt32BE(1) !== body.length - 5) throw malformed("the request's envelope is not as long as it says");
  return body.subarray(5);
}

function headersOf(request: NodeRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const item of Array.isArray(value) ? value : [value]) headers.append(name, item);
  }
  return headers;
}

interface OpenStream {
  readonly frames: AsyncIterable<Uint8Array>;
  /** Ends with the caller, a denial or a drain. */
  readonly signal: AbortSignal;
}

/** Takes the request through the gate and the same interceptors as any other RPC, up to the open stream. */
async function openStream(
  route: FrameRoute,
  request: NodeRequest,
  peer: Peer,
  signal: AbortSignal,
): Promise<OpenStream> {
  const { method } = route.stream;
  const contextValues = createContextValues().set(peerKey, peer);
  const header = headersOf(request);
  await route.gate({ method, requestHeader: header, values: contextValues, signal });
  let inner = signal;
  const terminal: AnyCall = async (call) => {
    inner = call.signal;
    const caller = call.contextValues.get(callerKey);
    const input = call.stream ? (await call.message[Symbol.asyncIterator]().next()).value : undefined;
    if (!caller || input === undefined) throw new Error("a frame stream was opened without authn or request");
    // The items are serialised messages; the interceptors pass a stream's answers on without looking at them.
    const message = route.stream.open(input as Message, caller, call.signal) as unknown as AsyncIterable<Message>;
    return { stream: true, service: method.parent, method, header: new Headers(), trailer: new Headers(), message };
  };
  const call = route.interceptors.reduceRight<AnyCall>((next, interceptor) => interceptor(next), terminal);
  async function* input(): AsyncGenerator<Message> {
    const bytes = await readRequest(request);
    let message: Message;
    try {
      message = fromBinary(method.input, bytes);
    } catch {
      throw malformed(`the request is not a ${method.input.typeName}`);
    }
    yield message;
  }
  const url = `https://frames${pathOf(method)}`;
  const common = { service: method.parent, requestMethod: "POST", url, signal, header, contextValues };
  const answer = await call({ ...common, stream: true, method, message: input() });
  return { frames: answer.message as unknown as AsyncIterable<Uint8Array>, signal: inner };
}

async function pump(route: FrameRoute, response: NodeResponse, { frames, signal }: OpenStream): Promise<void> {
  const iterator = frames[Symbol.asyncIterator]();
  try {
    for (let step = await iterator.next(); step.done !== true; step = await iterator.next()) {
      await writeFrame(response, frameOf(step.value), signal, route.drainMs);
    }
  } finally {
    // A generator that waits cannot be returned; its signal ends it.
    iterator.return?.().catch((error: unknown) => route.log.debug({ error }, "a frame stream failed while ending"));
  }
}

function asConnectError(error: unknown, route: FrameRoute): ConnectError {
  if (error instanceof ConnectError) return error;
  if (error instanceof Refusal) return error.toConnectError();
  route.log.error({ error, rpc: pathOf(route.stream.method) }, "frame stream failed");
  return new ConnectError("internal error", Code.Internal);
}

/** Serves one request of a frame stream, in gRPC or Connect framing. Never rejects. */
export async function serveFrames(
  route: FrameRoute,
  request: NodeRequest,
  response: NodeResponse,
  peer: Peer,
): Promise<void> {
  const protocol = request.method === "POST" ? streamProtocolOf(request) : undefined;
  if (!protocol) {
    sendHead(response, request.method === "POST" ? 415 : 405);
    sendEnd(response);
    return;
  }
  const controller = new AbortController();
  response.once("close", () => controller.abort(new ConnectError("the caller went away", Code.Canceled)));
  const error = await answer(route, protocol, request, response, peer, controller);
  controller.abort();
  if (!isOpen(response)) return;
  if (!response.headersSent) sendHead(response, 200, { "content-type": protocol.contentType });
  protocol.end(response, error);
}

async function answer(
  route: FrameRoute,
  protocol: StreamProtocol,
  request: NodeRequest,
  response: NodeResponse,
  peer: Peer,
  controller: AbortController,
): Promise<ConnectError | undefined> {
  let timer: NodeJS.Timeout | undefined;
  try {
    const milliseconds = protocol.timeoutMs(request);
    if (milliseconds !== undefined) timer = setTimeout(() => controller.abort(deadlineError()), milliseconds);
    const stream = await openStream(route, request, peer, controller.signal);
    sendHead(response, 200, { "content-type": protocol.contentType });
    await pump(route, response, stream);
    return undefined;
  } catch (error) {
    return asConnectError(error, route);
  } finally {
    clearTimeout(timer);
  }
}
