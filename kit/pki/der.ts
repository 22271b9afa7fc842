/** DER (ITU-T X.690): what certificates and certificate requests need of it. */

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  sequence: 0x30,
} as const;

/** A value with its tag; `body` is a view on the bytes that were read. */
export interface Element {
  readonly tag: number;
  readonly body: Uint8Array;
}

/** Tags of more than one byte do not occur in certificates. */
const LONG_TAG = 0x1f;
const MAX_LENGTH_BYTES = 4;

/**
 * The elements that stand one after another in the bytes.
 * @throws RangeError when they are not DER: a length that is indefinite, not the shortest, or beyond the end.
 */
export function readElements(bytes: Uint8Array): Element[] {
  const elements: Element[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = byteAt(bytes, at);
    if ((tag & LONG_TAG) === LONG_TAG) throw new RangeError("a tag of several bytes");
    const { start, length } = readLength(bytes, at + 1);
    if (start + length > bytes.length) throw new RangeError("an element is cut off");
    elements.push({ tag, body: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return elements;
}

function readLength(bytes: Uint8Array, at: number): { start: number; length: number } {
  const first = byteAt(bytes, at);
  if (first < 0x80) return { start: at + 1, length: first };
  const count = first & 0x7f;
  if (count === 0 || count > MAX_LENGTH_BYTES) throw new RangeError("a length that is indefinite or too long");
  let length = 0;
  for (let position = 1; position <= count; position++) length = length * 256 + byteAt(bytes, at + position);
  if (length < 0x80 || length < 256 ** (count - 1)) throw new RangeError("a length that is not the shortest");
  return { start: at + 1 + count, length };
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new RangeError("an element is cut off");
  return byte;
}

/**
 * The elements inside the only element of the bytes, which must have this tag.
 * @throws RangeError when there is another one, or none.
 */
export function readInside(bytes: Uint8Array, tag: number): Element[] {
  const [element, ...others] = readElements(bytes);
  if (element?.tag !== tag || others.length > 0) throw new RangeError(`not exactly one element of tag ${tag}`);
  return readElements(element.body);
}

/** An element of these parts, one after another. */
export function writeElement(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const digits = body.length.toString(16);
  const length = Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex");
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, body]);
}
