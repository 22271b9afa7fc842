import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { EndpointHintSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type NodeEndpoint, NodeEndpointSchema } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { type Address, formatAddress, parseAddress, specialUse, type SpecialUse, unmapped } from "@cloudvlan/kit/net";

/** At addresses of these uses no other machine can be reached as one. */
const USELESS: ReadonlySet<SpecialUse | undefined> = new Set<SpecialUse>([
  "unspecified",
  "loopback",
  "multicast",
  "broadcast",
]);

/** Endpoints that a node may report. */
export const MAX_ENDPOINTS = 16;

/**
 * The report as it is kept and passed on: addresses in canonical form, each endpoint once.
 * @returns serialised `EndpointHint`.
 * @throws Refusal `invalid` naming the first endpoint that cannot be one.
 */
export function hintOf(nodeId: string, endpoints: readonly NodeEndpoint[]): Uint8Array {
  if (endpoints.length > MAX_ENDPOINTS) {
    throw new Refusal("invalid", "TOO_MANY_ENDPOINTS", `a node reports at most ${MAX_ENDPOINTS} endpoints`, {
      field: "endpoints",
      remedy: "report those that are most likely to be reached",
    });
  }
  const found = new Map<string, NodeEndpoint>();
  for (const [position, { address, port }] of endpoints.entries()) {
    const parsed = parse(address, `endpoints[${position}].address`);
    const canonical = create(NodeEndpointSchema, { address: formatAddress(parsed), port });
    found.set(`${canonical.address} ${port}`, canonical);
  }
  return toBinary(EndpointHintSchema, create(EndpointHintSchema, { nodeId, endpoints: [...found.values()] }));
}

function parse(text: string, field: string): Address {
  // A scope id means nothing to another machine: no zone is taken.
  const address = parseAddress(text);
  if (!address) {
    throw new Refusal("invalid", "ENDPOINT_MALFORMED", "an endpoint has an address that is none", {
      field,
      remedy: "report IPv4 or IPv6 addresses without brackets and zone",
    });
  }
  const plain = unmapped(address);
  const use = specialUse(plain);
  if (USELESS.has(use)) {
    throw new Refusal("invalid", "ENDPOINT_UNREACHABLE", `nobody reaches a node at a ${use} address`, {
      field,
      remedy: "report addresses of network interfaces only",
    });
  }
  return plain;
}

/** True when stored bytes are what `hintOf` made for the node: the table is unsigned, and this goes out as it is. */
export function isHintOf(nodeId: string, bytes: Uint8Array): boolean {
  try {
    const { endpoints } = fromBinary(EndpointHintSchema, bytes);
    return Buffer.compare(hintOf(nodeId, endpoints), bytes) === 0;
  } catch {
    return false;
  }
}
