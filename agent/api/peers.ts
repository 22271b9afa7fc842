import type { EngineStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Prefix } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { parseAddress } from "@cloudvlan/kit/net";

export interface Destination {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** Own overlay address of the same family. */
  readonly source: Uint8Array;
}

/**
 * The overlay address that a name or an address means.
 * @param name name of a visible peer or of this node, or an IP address, which may be of no peer.
 * @throws Refusal `not_found` with the field `destination`.
 */
export function resolveDestination(status: EngineStatus, name: string): Destination {
  const literal = parseAddress(name);
  if (literal) {
    const source = hostAddress(status.addresses, literal.length);
    if (!source) {
      throw unknown(`this node has no overlay address of the family of ${name}`, "use a peer's name");
    }
    return { address: literal, source };
  }
  const peer = [{ name: status.name, addresses: status.addresses }, ...status.peers].find((each) => each.name === name);
  if (!peer) {
    throw unknown(
      `this node sees no peer named ${JSON.stringify(name)}`,
      "see `cvlan status` for the peers; one that no policy rule connects with this node is not visible to it",
    );
  }
  for (const bytes of [4, 16]) {
    const address = hostAddress(peer.addresses, bytes);
    const source = hostAddress(status.addresses, bytes);
    if (address && source) return { address, source };
  }
  throw unknown(`${name} and this node have no address of one family`, "see `cvlan status`");
}

function hostAddress(addresses: readonly Prefix[], bytes: number): Uint8Array | undefined {
  return addresses.find(({ address }) => address.length === bytes)?.address;
}

function unknown(message: string, remedy: string): Refusal {
  return new Refusal("not_found", "DESTINATION_UNKNOWN", message, { field: "destination", remedy });
}
