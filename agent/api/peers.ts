import type { EngineStatus, PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Prefix } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { parseAddress } from "@cloudvlan/kit/net";

/** Both ends of a packet, of one family: 4 or 16 bytes each. */
export interface Ends {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/**
 * The overlay address that a name or an address means.
 * @param name name of a visible peer or of this node, or an IP address, which may be of no peer.
 * @throws Refusal `not_found` with the field `destination`.
 */
export function resolveDestination(status: EngineStatus, name: string): Ends {
  const literal = parseAddress(name);
  if (literal) {
    const source = hostAddress(status.addresses, literal.length);
    if (!source) {
      throw unknown(`this node has no overlay address of the family of ${name}`, "use a peer's name");
    }
    return { destination: literal, source };
  }
  const peer = [{ name: status.name, addresses: status.addresses }, ...status.peers].find((each) => each.name === name);
  if (!peer) {
    throw unknownPeer(name, "destination");
  }
  for (const bytes of [4, 16]) {
    const address = hostAddress(peer.addresses, bytes);
    const source = hostAddress(status.addresses, bytes);
    if (address && source) return { destination: address, source };
  }
  throw unknown(`${name} and this node have no address of one family`, "see `cvlan status`");
}

/**
 * The ends of a packet that a peer sends here.
 * @param from name of a visible peer, or its overlay address.
 * @param to name of this node, or an IP address of it or behind it.
 * @throws Refusal `not_found` naming the field.
 */
export function resolveArrival(status: EngineStatus, from: string, to: string): Ends {
  const sources = meant(from, status.peers);
  if (sources.length === 0) throw unknownPeer(from, "source");
  const own = meant(to, [status]);
  for (const source of sources) {
    const destination = own.find(({ length }) => length === source.length);
    if (destination) return { source, destination };
  }
  throw unknown(`${JSON.stringify(to)} is no address of this node that ${from} could send to`, "see `cvlan status`");
}

/** The address itself, or those of the node of that name, IPv4 first. */
function meant(text: string, nodes: readonly Pick<PeerStatus, "name" | "addresses">[]): Uint8Array[] {
  const literal = parseAddress(text);
  if (literal) return [literal];
  const node = nodes.find(({ name }) => name === text);
  return [4, 16].flatMap((bytes) => hostAddress(node?.addresses ?? [], bytes) ?? []);
}

function hostAddress(addresses: readonly Prefix[], bytes: number): Uint8Array | undefined {
  return addresses.find(({ address }) => address.length === bytes)?.address;
}

function unknownPeer(name: string, field: "source" | "destination"): Refusal {
  const remedy =
    "see `cvlan status` for the peers; one that no policy rule connects with this node is not visible to it";
  return unknown(`this node sees no peer named ${JSON.stringify(name)}`, remedy, field);
}

function unknown(message: string, remedy: string, field: "source" | "destination" = "destination"): Refusal {
  return new Refusal("not_found", field === "source" ? "SOURCE_UNKNOWN" : "DESTINATION_UNKNOWN", message, {
    field,
    remedy,
  });
}
