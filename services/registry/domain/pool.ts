import { Refusal } from "@cloudvlan/kit/errors";
import { addressAt, formatPrefix, parsePrefix, type Prefix, specialRange } from "@cloudvlan/kit/net";

/** Carrier-grade NAT space (RFC 6598): free inside most networks, and large. */
const DEFAULT_POOL = "100.64.0.0/10";

/**
 * The IPv4 pool an operator asks for, checked.
 * @param text CIDR, /8 to /30; empty means 100.64.0.0/10.
 * @throws Refusal `invalid` naming the field `ipv4_pool`.
 */
export function parsePool(text: string): Prefix {
  const pool = parsePrefix(text === "" ? DEFAULT_POOL : text);
  const field = "ipv4_pool";
  if (!pool || pool.address.length !== 4) {
    const remedy = `write it as in ${DEFAULT_POOL}, without bits after the prefix length`;
    throw new Refusal("invalid", "POOL_MALFORMED", "the pool is no IPv4 prefix", { field, remedy });
  }
  if (pool.length < 8 || pool.length > 30) {
    const remedy = "choose a prefix length from 8 to 30";
    throw new Refusal("invalid", "POOL_SIZE", `the pool's prefix length is ${pool.length}`, { field, remedy });
  }
  const taken = reservedFor(pool);
  if (taken !== undefined) {
    const remedy = `choose another range, or leave it empty for ${DEFAULT_POOL}`;
    throw new Refusal("invalid", "POOL_RESERVED", `the pool overlaps ${taken}`, { field, remedy });
  }
  return pool;
}

/** The reserved range that a prefix overlaps, in words; undefined when it overlaps none. */
export function reservedFor(prefix: Prefix): string | undefined {
  const range = specialRange(prefix);
  return range && `${formatPrefix(range.prefix)} (${range.use})`;
}

/** Highest host number of an IPv4 pool: the network and broadcast addresses are nobody's. */
export function lastHost({ length }: Prefix): bigint {
  return 2n ** BigInt(32 - length) - 2n;
}

/** The /64 of a cvlan within the installation's /48 (RFC 4193). */
export function cvlanPrefix(ulaPrefix: Uint8Array, subnet: number): Prefix {
  const address = new Uint8Array(16);
  address.set(ulaPrefix.subarray(0, 6));
  new DataView(address.buffer).setUint16(6, subnet);
  return { address, length: 64 };
}

/** The two overlay addresses of a host number, IPv4 first. */
export function addressesOf(cvlan: { ipv4Pool: string; ipv6Prefix: string }, host: bigint): [Uint8Array, Uint8Array] {
  const [ipv4, ipv6] = poolsOf(cvlan);
  if (host < 1n || host > lastHost(ipv4)) throw new Error(`host number ${host} lies outside ${formatPrefix(ipv4)}`);
  return [addressAt(ipv4, host), addressAt(ipv6, host)];
}

export function poolsOf(cvlan: { ipv4Pool: string; ipv6Prefix: string }): [Prefix, Prefix] {
  const [ipv4, ipv6] = [parsePrefix(cvlan.ipv4Pool), parsePrefix(cvlan.ipv6Prefix)];
  if (!ipv4 || !ipv6) throw new Error("a stored pool is no prefix");
  return [ipv4, ipv6];
}
