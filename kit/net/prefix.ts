import { type Address, addressOf, formatAddress, numberOf, parseAddress } from "./address.ts";

/** A range of addresses in CIDR form (RFC 4632); host bits are zero. */
export interface Prefix {
  readonly address: Address;
  /** Bits, 0 to 32 or 128. */
  readonly length: number;
}

function hostBits(bytes: number, length: number): bigint {
  return BigInt(bytes * 8 - length);
}

/** Makes a prefix of an address by clearing what is right of its length. @throws RangeError for a length out of range. */
export function prefixOf(address: Address, length: number): Prefix {
  const bytes = address.length;
  if (!Number.isInteger(length) || length < 0 || length > bytes * 8) {
    throw new RangeError(`/${length} is out of range for ${bytes} bytes`);
  }
  const shift = hostBits(bytes, length);
  return { address: addressOf((numberOf(address) >> shift) << shift, bytes), length };
}

/**
 * Parses `address/length`, whatever bits stand right of the length.
 * @returns undefined when it is not one.
 */
export function parseCidr(text: string): { readonly address: Address; readonly length: number } | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const address = parseAddress(match?.[1] ?? "");
  const length = Number(match?.[2]);
  return address && length <= address.length * 8 ? { address, length } : undefined;
}

/**
 * Parses `address/length`.
 * @returns undefined when it is not one, and when a bit right of the length is set: what was meant is unclear then.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const cidr = parseCidr(text);
  if (!cidr) return undefined;
  const prefix = prefixOf(cidr.address, cidr.length);
  return numberOf(prefix.address) === numberOf(cidr.address) ? prefix : undefined;
}

export function formatPrefix({ address, length }: Prefix): string {
  return `${formatAddress(address)}/${length}`;
}

/** Whether an address lies in a prefix; never across address families. */
export function contains({ address, length }: Prefix, candidate: Address): boolean {
  if (address.length !== candidate.length) return false;
  const whole = length >> 3;
  for (let position = 0; position < whole; position++) if (address[position] !== candidate[position]) return false;
  const rest = length & 7;
  return rest === 0 || ((address[whole] ?? 0) ^ (candidate[whole] ?? 0)) >> (8 - rest) === 0;
}

/** Whether two prefixes have an address in common; never across address families. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return a.length <= b.length ? contains(a, b.address) : contains(b, a.address);
}

/** How many addresses a prefix has. */
export function sizeOf({ address, length }: Prefix): bigint {
  return 1n << hostBits(address.length, length);
}

/**
 * The nth address of a prefix, from 0.
 * @throws RangeError when it has no so many.
 */
export function addressAt(prefix: Prefix, n: bigint): Address {
  if (n < 0n || n >= sizeOf(prefix)) throw new RangeError(`${formatPrefix(prefix)} has no address number ${n}`);
  return addressOf(numberOf(prefix.address) + n, prefix.address.length);
}
