import { isIP, SocketAddress } from "node:net";

/** A CIDR prefix (RFC 4632, RFC 4291): 4 or 16 bytes with host bits zero. */
export interface IpPrefix {
  readonly address: Uint8Array;
  readonly length: number;
}

/** The bytes of an IP address in text; undefined when it is none, or has a zone. */
export function parseAddress(text: string): Uint8Array | undefined {
  if (text.length > 45) return undefined;
  if (isIP(text) === 4) return Uint8Array.from(text.split("."), Number);
  if (isIP(text) !== 6 || text.includes("%")) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const plain = dotted ? `${dotted[1]}${pair(dotted[2], dotted[3])}:${pair(dotted[4], dotted[5])}` : text;
  const [head = "", tail] = plain.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const middle = Array.from({ length: 8 - left.length - right.length }, () => "0");
  const groups = [...left, ...middle, ...right].map((group) => Number.parseInt(group, 16));
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

function pair(high: string | undefined, low: string | undefined): string {
  return ((Number(high) << 8) | Number(low)).toString(16);
}

/** The text of 4 or 16 bytes; IPv6 in its canonical form (RFC 5952). */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}

/** Undefined for what is no prefix, or has bits set past its length. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const [, host, digits] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const address = host === undefined ? undefined : parseAddress(host);
  const length = Number(digits);
  if (!address || length > address.length * 8) return undefined;
  const kept = mask(address, length);
  return address.every((byte, i) => byte === kept[i]) ? { address, length } : undefined;
}

export function formatPrefix({ address, length }: IpPrefix): string {
  return `${formatAddress(address)}/${length}`;
}

/** True when some address lies in both. */
export function overlaps(a: IpPrefix, b: IpPrefix): boolean {
  if (a.address.length !== b.address.length) return false;
  const length = Math.min(a.length, b.length);
  const other = mask(b.address, length);
  return mask(a.address, length).every((byte, i) => byte === other[i]);
}

/** The `host`-th address of a prefix; the caller keeps `host` inside it. */
export function nthAddress({ address }: IpPrefix, host: bigint): Uint8Array {
  const bytes = Uint8Array.from(address);
  let rest = host;
  for (let i = bytes.length - 1; i >= 0 && rest > 0n; i--) {
    const sum = BigInt(bytes[i] ?? 0) + (rest & 0xffn);
    bytes[i] = Number(sum & 0xffn);
    rest = (rest >> 8n) + (sum >> 8n);
  }
  return bytes;
}

function mask(address: Uint8Array, length: number): Uint8Array {
  return address.map((byte, i) => byte & (0xff << Math.max(0, Math.min(8, 8 * (i + 1) - length))));
}
