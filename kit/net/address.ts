import ipaddr from "ipaddr.js";

/** An IP address: 4 or 16 bytes, network order. */
export type Address = Uint8Array;

/** Longest textual form of an IPv6 address (RFC 4291 section 2.2, with an embedded IPv4 address). */
const MAX_TEXT = 45;

/**
 * Parses an address as people write it: IPv4 in four decimal parts without leading zeros, IPv6 without a zone.
 * @returns undefined for anything else.
 */
export function parseAddress(text: string): Address | undefined {
  if (text.length > MAX_TEXT || text.includes("%")) return undefined;
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return Uint8Array.from(ipaddr.IPv4.parse(text).toByteArray());
  if (text.includes(":") && ipaddr.IPv6.isValid(text)) return Uint8Array.from(ipaddr.IPv6.parse(text).toByteArray());
  return undefined;
}

/** @throws RangeError unless there are 4 or 16 bytes. */
export function formatAddress(address: Address): string {
  if (address.length !== 4 && address.length !== 16) throw new RangeError(`${address.length} bytes are no IP address`);
  const parsed = ipaddr.fromByteArray([...address]);
  // The canonical form of RFC 5952.
  return parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString();
}

const MAPPED = Buffer.from("00000000000000000000ffff", "hex");

/** The IPv4 address that an IPv6 address stands for (RFC 4291 section 2.5.5.2); any other address as it is. */
export function unmapped(address: Address): Address {
  return address.length === 16 && MAPPED.equals(address.subarray(0, 12)) ? address.slice(12) : address;
}

/** The address as one number. */
export function numberOf(address: Address): bigint {
  return BigInt(`0x${Buffer.from(address).toString("hex")}`);
}

/**
 * The address of a number.
 * @param bytes 4 or 16.
 * @throws RangeError when it does not fit.
 */
export function addressOf(value: bigint, bytes: number): Address {
  if (value < 0n || value >= 1n << BigInt(bytes * 8)) throw new RangeError(`${value} is no address of ${bytes} bytes`);
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(bytes * 2, "0"), "hex"));
}
