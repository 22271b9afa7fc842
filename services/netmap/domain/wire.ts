/** Protobuf wire format (encoding specification): what is needed to join bytes that are already encoded. */

const LENGTH_DELIMITED = 2;

/** Bytes of an unsigned varint. */
export function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** A length-delimited field. */
export function delimited(field: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([varint((field << 3) | LENGTH_DELIMITED), varint(bytes.length), bytes]);
}

/** A varint field; empty for 0, the default. */
export function scalar(field: number, value: number | bigint): Buffer {
  return BigInt(value) === 0n ? Buffer.alloc(0) : Buffer.concat([varint(field << 3), varint(value)]);
}
