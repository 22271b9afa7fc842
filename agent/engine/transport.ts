import {
  create,
  type DescMessage,
  type DescMethodStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type StreamResponse, type Transport, type UnaryResponse } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { pathOf } from "@cloudvlan/kit/access";
import type { Clock } from "@cloudvlan/kit/clock";

/** Largest message either way, in bytes: a full map of 20,000 records. */
const MAX_MESSAGE = 16 * 1024 * 1024;

/** Milliseconds a unary call may take when its caller says nothing. */
const DEFAULT_TIMEOUT_MS = 10_000;

/** A Connect transport over grpc-js and a unix socket, so that the engine's client is typed by its descriptor. */
export interface EngineTransport extends Transport, Disposable {}

/** @param socket path of the engine's socket. Nothing is connected before the first call. */
export function engineTransport(socket: string, clock: Clock): EngineTransport {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": MAX_MESSAGE,
    "grpc.max_send_message_length": MAX_MESSAGE,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    // One connection a client: a restarted engine must not be reached through the connection of the former.
    "grpc.use_local_subchannel_pool": 1,
  });
  const deadlineIn = (ms: number) => new Date(clock.nowMs() + ms);
  return {
    unary: (method, signal, timeoutMs, header, input) =>
      unary(client, method, signal, deadlineIn(timeoutMs ?? DEFAULT_TIMEOUT_MS), metadataOf(header), input),
    stream: (method, signal, timeoutMs, header, input) =>
      stream(
        client,
        method,
        signal,
        timeoutMs === undefined ? undefined : deadlineIn(timeoutMs),
        metadataOf(header),
        input,
      ),
    [Symbol.dispose]: () => client.close(),
  };
}

function unary<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  signal: AbortSignal | undefined,
  deadline: Date,
  metadata: Metadata,
  input: MessageInitShape<I>,
): Promise<UnaryResponse<I, O>> {
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      pathOf(method),
      serializer(method.input),
      deserializer(method.output),
      create(method.input, input),
      metadata,
      { deadline },
      (error: ServiceError | null, message?: MessageShape<O>) => {
        signal?.removeEventListener("abort", cancel);
        if (error) return reject(toConnectError(error));
        if (!message) return reject(new ConnectError("the engine answered nothing", Code.Internal));
        resolve({
          stream: false,
          service: method.parent,
          method,
          header: new Headers(),
          trailer: new Headers(),
          message,
        });
      },
    );
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
  });
}

async function stream<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodStreaming<I, O>,
  signal: AbortSignal | undefined,
  deadline: Date | undefined,
  metadata: Metadata,
  input: AsyncIterable<MessageInitShape<I>>,
): Promise<StreamResponse<I, O>> {
  if (method.methodKind !== "server_streaming") {
    throw new ConnectError(`${method.name} is not a server stream`, Code.Unimplemented);
  }
  const request = await only(input);
  const call = client.makeServerStreamRequest(
    pathOf(method),
    serializer(method.input),
    deserializer(method.output),
    create(method.input, request),
    metadata,
    deadline === undefined ? {} : { deadline },
  );
  async function* messages(): AsyncGenerator<MessageShape<O>, void, undefined> {
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      for await (const message of call) yield message as MessageShape<O>;
    } catch (error) {
      throw isServiceError(error) ? toConnectError(error) : error;
    } finally {
      signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  }
  return {
    stream: true,
    service: method.parent,
    method,
    header: new Headers(),
    trailer: new Headers(),
    message: messages(),
  };
}

/** The engine looks at the trace that a call belongs to and at no other header. */
function metadataOf(header: ConstructorParameters<typeof Headers>[0]): Metadata {
  const metadata = new Metadata();
  const trace = new Headers(header).get("traceparent");
  if (trace !== null) metadata.set("traceparent", trace);
  return metadata;
}

async function only<T>(input: AsyncIterable<T>): Promise<T> {
  for await (const item of input) return item;
  throw new ConnectError("a server stream needs one request", Code.Internal);
}

function serializer<D extends DescMessage>(desc: D): (message: MessageShape<D>) => Buffer {
  return (message) => Buffer.from(toBinary(desc, message));
}

function deserializer<D extends DescMessage>(desc: D): (bytes: Buffer) => MessageShape<D> {
  return (bytes) => fromBinary(desc, bytes);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "details" in error && "metadata" in error && error.metadata instanceof Metadata;
}

/** Keeps code, message and the details in `grpc-status-details-bin`. */
function toConnectError(error: ServiceError): ConnectError {
  const trailer = new Headers({ "grpc-status": String(error.code), "grpc-message": encodeURIComponent(error.details) });
  const details = error.metadata.get("grpc-status-details-bin")[0];
  if (details instanceof Buffer) trailer.set("grpc-status-details-bin", details.toString("base64"));
  if (error.code === status.OK) return new ConnectError("the call failed without a status", Code.Internal);
  return findTrailerError(trailer) ?? new ConnectError(error.details, Code.Unknown);
}
