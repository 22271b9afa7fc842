import { BlockList, isIP, SocketAddress } from "node:net";
import type { Prefix } from "@cloudvlan/gen/entity/v1/netmap_pb.js";

/** An IP prefix in the text form that `ip` prints and reads. */
export interface TextPrefix {
  readonly family: 4 | 6;
  /** `address/length`, canonical. */
  readonly text: string;
}

/**
 * Text form of a prefix.
 * @throws RangeError when the address is not 4 or 16 bytes or the length does not fit it.
 */
export function textPrefix(prefix: Prefix): TextPrefix {
  const bits = prefix.address.length * 8;
  if ((bits !== 32 && bits !== 128) || prefix.length > bits) throw new RangeError("not an IP prefix");
  return { family: bits === 32 ? 4 : 6, text: `${textAddress(prefix.address)}/${prefix.length}` };
}

/** Text form of 4 or 16 bytes; IPv6 as RFC 5952 wants it. */
export function textAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}

/**
 * Bytes of a textual address, undefined when it is none.
 * @returns 4 or 16 bytes.
 */
export function addressBytes(text: string): Uint8Array | undefined {
  const family = isIP(text);
  if (family === 4) return Uint8Array.from(text.split("."), Number);
  if (family !== 6 || text.includes("%")) return undefined;
  const [head = "", tail] = embeddedV4AsGroups(text).split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const middle = tail === undefined ? [] : Array<string>(8 - left.length - right.length).fill("0");
  const bytes = new Uint8Array(16);
  [...left, ...middle, ...right].forEach((group, i) => {
    new DataView(bytes.buffer).setUint16(2 * i, Number.parseInt(group, 16));
  });
  return bytes;
}

function embeddedV4AsGroups(text: string): string {
  const at = text.lastIndexOf(":") + 1;
  const last = text.slice(at);
  if (isIP(last) !== 4) return text;
  const [a = 0, b = 0, c = 0, d = 0] = last.split(".").map(Number);
  return `${text.slice(0, at)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/** A set of prefixes that answers whether an address lies in one of them. */
export function prefixSet(prefixes: readonly Prefix[]): { contains(address: string): boolean } {
  const list = new BlockList();
  for (const prefix of prefixes) {
    const { family } = textPrefix(prefix);
    list.addSubnet(textAddress(prefix.address), prefix.length, family === 4 ? "ipv4" : "ipv6");
  }
  return {
    contains: (address) => {
      const family = isIP(address);
      return family !== 0 && list.check(address, family === 4 ? "ipv4" : "ipv6");
    },
  };
}
