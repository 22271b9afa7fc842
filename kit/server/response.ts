import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";

/** A request or answer of either HTTP version; `stream` tells HTTP/2. */
export type NodeRequest = IncomingMessage | Http2ServerRequest;
export type NodeResponse = ServerResponse | Http2ServerResponse;

/** Sends status and headers at once: some clients wait for them before they hand out a stream. */
export function sendHead(response: NodeResponse, status: number, headers: Record<string, string> = {}): void {
  if ("stream" in response) {
    response.writeHead(status, headers);
  } else {
    response.writeHead(status, headers);
    response.flushHeaders();
  }
}

/** @returns false when the writer should wait for `drain`. */
export function sendBytes(response: NodeResponse, bytes: Uint8Array): boolean {
  return "stream" in response ? response.stream.write(bytes) : response.write(bytes);
}

export function sendEnd(response: NodeResponse, trailers: Record<string, string> = {}): void {
  if ("stream" in response) {
    response.addTrailers(trailers);
    response.end();
  } else {
    response.end();
  }
}

/** True while something may still be written. */
export function isOpen(response: NodeResponse): boolean {
  if (response.writableEnded) return false;
  return "stream" in response ? !response.stream.closed && !response.stream.destroyed : !response.destroyed;
}

/** Ends a stream whose reader may never take another byte: a reset overtakes what is buffered, a trailer does not. */
export function reset(response: NodeResponse, http2Code: number): void {
  if ("stream" in response) response.stream.close(http2Code);
  else response.destroy();
}
