import type { Prefix } from "@cloudvlan/gen/entity/v1/netmap_pb.js";

/**
 * An interval of addresses of one family, both ends inside. Ends are lower-case hex of the address (8 digits for IPv4,
 * 32 for IPv6), so that they compare as text and the families keep apart by length.
 */
export interface Interval {
  readonly first: string;
  readonly last: string;
  /** Prefix length. */
  readonly length: number;
}

/**
 * The interval of a prefix.
 * @throws RangeError for an address that is neither 4 nor 16 bytes, a length beyond it, or host bits that are set.
 */
export function intervalOf({ address, length }: Prefix): Interval {
  const bits = address.length * 8;
  if (bits !== 32 && bits !== 128) throw new RangeError(`an address has 4 or 16 bytes, not ${address.length}`);
  if (length > bits) throw new RangeError(`a prefix length of ${length} is beyond the ${bits} bits of the address`);
  const last = Buffer.from(address);
  for (const [position, byte] of address.entries()) {
    const host = 0xff >> Math.min(8, Math.max(0, length - position * 8));
    if ((byte & host) !== 0) throw new RangeError("a prefix has no bits behind its length");
    last[position] = byte | host;
  }
  return { first: Buffer.from(address).toString("hex"), last: last.toString("hex"), length };
}

/** True when `outer` holds every address of `inner`. */
export function covers(outer: Interval, inner: Interval): boolean {
  return outer.first.length === inner.first.length && outer.first <= inner.first && inner.last <= outer.last;
}

/** Lowest address of the family that holds the first address of a prefix of this length around `address`. */
export function network(address: string, length: number): string {
  const digits = Math.floor(length / 4);
  const rest = length % 4;
  const kept = address.slice(0, digits);
  if (rest === 0) return kept.padEnd(address.length, "0");
  const digit = Number.parseInt(address.charAt(digits), 16) & (0xf0 >> rest) & 0xf;
  return (kept + digit.toString(16)).padEnd(address.length, "0");
}
