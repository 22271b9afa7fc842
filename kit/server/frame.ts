/** Envelope flag of a Connect end-of-stream message and of nothing in gRPC. */
export const END_STREAM_FLAG = 0x02;

/**
 * Puts the 5-byte envelope of gRPC and Connect streams before a serialised message: flags, then the length in 4 bytes,
 * big-endian (gRPC over HTTP/2, "Length-Prefixed-Message").
 */
export function frameOf(message: Uint8Array, flags = 0): Uint8Array {
  const frame = new Uint8Array(message.length + 5);
  frame[0] = flags;
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, 5);
  return frame;
}
