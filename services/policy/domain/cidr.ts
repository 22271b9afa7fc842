import { create } from "@bufbuild/protobuf";
import { type Prefix, PrefixSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import ipaddr from "ipaddr.js";

/**
 * Reads a prefix in CIDR notation (RFC 4632 section 3.1, RFC 4291 section 2.3).
 * @param field request path, for the error.
 * @throws Refusal `invalid` when it is none, or has bits set behind its length.
 */
export function parseCidr(text: string, field: string): Prefix {
  let parsed: [ipaddr.IPv4 | ipaddr.IPv6, number];
  try {
    parsed = ipaddr.parseCIDR(text);
  } catch {
    throw new Refusal("invalid", "PREFIX_MALFORMED", `${text} is not a prefix`, {
      field,
      remedy: "write an address and a length, for example 10.1.0.0/16 or fd00:1::/64",
    });
  }
  const [address, length] = parsed;
  const bytes = Uint8Array.from(address.toByteArray());
  const masked = maskBytes(bytes, length);
  if (!bytes.every((byte, position) => byte === masked[position])) {
    const network = ipaddr.fromByteArray([...masked]).toString();
    throw new Refusal("invalid", "PREFIX_HOST_BITS", `${text} has bits set behind its length`, {
      field,
      remedy: `write ${network}/${length}, or a longer prefix`,
    });
  }
  return create(PrefixSchema, { address: bytes, length });
}

function maskBytes(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, position) => {
    const kept = Math.min(8, Math.max(0, length - position * 8));
    return byte & (0xff00 >> kept) & 0xff;
  });
}
