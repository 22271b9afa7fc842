import type { ConnectError } from "@connectrpc/connect";
import {
  contentTypeStreamProto,
  createEndStreamSerialization,
  parseTimeout as parseConnectTimeout,
} from "@connectrpc/connect/protocol-connect";
import { grpcStatusOk, parseTimeout as parseGrpcTimeout, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { END_STREAM_FLAG, frameOf } from "./frame.ts";
import { type NodeRequest, type NodeResponse, sendBytes, sendEnd } from "./response.ts";

/** How a protocol frames a server stream around its messages, whose envelope is the same in all of them. */
export interface StreamProtocol {
  readonly contentType: string;
  /** Milliseconds the caller gives; undefined for no end. */
  timeoutMs(request: NodeRequest): number | undefined;
  /** Ends the answer, with the error when there is one. */
  end(response: NodeResponse, error: ConnectError | undefined): void;
}

function single(header: string | string[] | undefined): string | null {
  return (Array.isArray(header) ? header[0] : header) ?? null;
}

const grpc: StreamProtocol = {
  contentType: "application/grpc+proto",
  timeoutMs: (request) => limit(parseGrpcTimeout(single(request.headers["grpc-timeout"]), Number.MAX_SAFE_INTEGER)),
  end(response, error) {
    const trailer = new Headers({ "grpc-status": grpcStatusOk });
    if (error) setTrailerStatus(trailer, error);
    sendEnd(response, Object.fromEntries(trailer));
  },
};

const endStream = createEndStreamSerialization(undefined);

const connect: StreamProtocol = {
  contentType: contentTypeStreamProto,
  timeoutMs: (request) =>
    limit(parseConnectTimeout(single(request.headers["connect-timeout-ms"]), Number.MAX_SAFE_INTEGER)),
  end(response, error) {
    const metadata = new Headers();
    sendBytes(response, frameOf(endStream.serialize(error ? { metadata, error } : { metadata }), END_STREAM_FLAG));
    sendEnd(response);
  },
};

function limit(parsed: { timeoutMs?: number; error?: ConnectError | undefined }): number | undefined {
  if (parsed.error) throw parsed.error;
  return parsed.timeoutMs;
}

const PROTOCOLS = new Map<string, StreamProtocol>([
  ["application/grpc", grpc],
  ["application/grpc+proto", grpc],
  [contentTypeStreamProto, connect],
]);

/** The protocol of a request by its content type; undefined when a frame stream is not served in it. */
export function streamProtocolOf(request: NodeRequest): StreamProtocol | undefined {
  const protocol = PROTOCOLS.get((request.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "");
  // gRPC ends in trailers, which HTTP/1.1 clients do not get.
  return protocol === grpc && request.httpVersionMajor < 2 ? undefined : protocol;
}
