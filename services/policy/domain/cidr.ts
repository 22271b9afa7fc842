import { create } from "@bufbuild/protobuf";
import { type Prefix, PrefixSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { formatPrefix, parseCidr, parsePrefix, prefixOf } from "@cloudvlan/kit/net";

/**
 * Reads a prefix in CIDR notation (RFC 4632 section 3.1, RFC 4291 section 2.3).
 * @param field request path, for the error.
 * @throws Refusal `invalid` when it is none, or has bits set behind its length.
 */
export function requirePrefix(text: string, field: string): Prefix {
  const cidr = parseCidr(text);
  if (!cidr) {
    throw new Refusal("invalid", "PREFIX_MALFORMED", `${text} is not a prefix`, {
      field,
      remedy: "write an address and a length, for example 10.1.0.0/16 or fd00:1::/64",
    });
  }
  const prefix = parsePrefix(text);
  if (!prefix) {
    throw new Refusal("invalid", "PREFIX_HOST_BITS", `${text} has bits set behind its length`, {
      field,
      remedy: `write ${formatPrefix(prefixOf(cidr.address, cidr.length))}, or a longer prefix`,
    });
  }
  return create(PrefixSchema, prefix);
}
