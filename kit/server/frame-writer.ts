import { constants } from "node:http2";
import { Refusal } from "../errors/index.ts";
import { type NodeResponse, reset, sendBytes } from "./response.ts";

/** Bytes of one frame: what a reader may have to hold, and the most that is buffered for one that does not read. */
export const MAX_FRAME_BYTES = 4_194_304;

function tooSlow(): Refusal {
  return new Refusal("exhausted", "SLOW_READER", "the reader of the stream is too slow", {
    remedy: "resume from the last position",
  });
}

/**
 * Writes a frame and waits until the reader has taken enough of what came before, so that a slow reader costs one frame.
 * @param drainMs how long the reader may take nothing.
 * @throws Refusal `exhausted` after resetting the stream; the signal's reason when that comes first.
 */
export async function writeFrame(
  response: NodeResponse,
  frame: Uint8Array,
  signal: AbortSignal,
  drainMs: number,
): Promise<void> {
  if (frame.length > MAX_FRAME_BYTES) throw new Error(`a frame of ${frame.length} bytes is over ${MAX_FRAME_BYTES}`);
  signal.throwIfAborted();
  if (sendBytes(response, frame)) return;
  const drained = Promise.withResolvers<void>();
  const onDrain = (): void => drained.resolve();
  const onAbort = (): void => {
    reset(response, constants.NGHTTP2_CANCEL);
    drained.reject(signal.reason);
  };
  const timer = setTimeout(() => {
    // gRPC maps this code to RESOURCE_EXHAUSTED (gRPC over HTTP/2, "Errors").
    reset(response, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    drained.reject(tooSlow());
  }, drainMs);
  response.once("drain", onDrain);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await drained.promise;
  } finally {
    clearTimeout(timer);
    response.off("drain", onDrain);
    signal.removeEventListener("abort", onAbort);
  }
}
