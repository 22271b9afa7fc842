import type { Prefix } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { formatPrefix } from "@cloudvlan/kit/net";

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
  const text = formatPrefix(prefix);
  if (prefix.length > prefix.address.length * 8) throw new RangeError(`${text} is no IP prefix`);
  return { family: prefix.address.length === 4 ? 4 : 6, text };
}
