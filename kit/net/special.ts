import type { Address } from "./address.ts";
import { overlaps, parsePrefix, type Prefix, prefixOf } from "./prefix.ts";

/** What a range means to every host on its own. */
export type SpecialUse = "unspecified" | "loopback" | "link-local" | "multicast" | "broadcast" | "reserved";

export interface SpecialRange {
  readonly prefix: Prefix;
  readonly use: SpecialUse;
}

/** Addresses that nobody is reached at from elsewhere (RFC 6890); of nested ranges the narrower first. */
const SPECIAL: readonly SpecialRange[] = [
  special("0.0.0.0/8", "unspecified"),
  special("127.0.0.0/8", "loopback"),
  special("169.254.0.0/16", "link-local"),
  special("224.0.0.0/4", "multicast"),
  special("255.255.255.255/32", "broadcast"),
  special("240.0.0.0/4", "reserved"),
  special("::/128", "unspecified"),
  special("::1/128", "loopback"),
  special("fe80::/10", "link-local"),
  special("ff00::/8", "multicast"),
];

function special(text: string, use: SpecialUse): SpecialRange {
  const prefix = parsePrefix(text);
  if (!prefix) throw new Error(`${text} is no prefix`);
  return { prefix, use };
}

/** The special range that a prefix overlaps, if any. */
export function specialRange(prefix: Prefix): SpecialRange | undefined {
  return SPECIAL.find((range) => overlaps(range.prefix, prefix));
}

/** What an address is for, when it is not one host's alone. */
export function specialUse(address: Address): SpecialUse | undefined {
  return specialRange(prefixOf(address, address.length * 8))?.use;
}
