import { create } from "@bufbuild/protobuf";
import {
  type EvaluateRequest,
  EvaluateRequestSchema,
  type MapView,
  MapViewSchema,
  type PacketSchema,
} from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { EndpointHint, StalePolicy } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { WhyProbe } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { NodeEntry } from "../entry.ts";
import type { Visibility } from "../visibility.ts";
import { type Addresses, hostOf } from "./ends.ts";

/** Destinations that an engine takes at once. */
export const MAX_DESTINATIONS = 64;

const ICMP = 1;
const ICMPV6 = 58;
const TCP = 6;
const UDP = 17;
/** Source port of the packets: the first of the ephemeral ones (RFC 6335 section 6). Rules do not speak of it. */
const EPHEMERAL_PORT = 49_152;

/** What a question is judged by. */
export interface Ground {
  readonly visibility: Visibility;
  readonly epoch: bigint;
  readonly revision: bigint;
  /** Where these nodes can be reached, as far as they say. */
  hintsOf(nodeIds: readonly string[]): EndpointHint[];
  /** What the node does because its map ran out; undefined while it holds. */
  staleOf(nodeId: string): StalePolicy | undefined;
}

/** The question for `cvlan-engine evaluate`: what both ends hold as their maps, and the packets. */
export function questionOf(
  ground: Ground,
  source: NodeEntry,
  destinations: readonly NodeEntry[],
  addresses: Addresses,
  probes: readonly WhyProbe[],
): EvaluateRequest {
  return create(EvaluateRequestSchema, {
    sourceView: viewOf(ground, source, addresses),
    destinationViews: destinations.slice(0, MAX_DESTINATIONS).map((node) => viewOf(ground, node, addresses)),
    packets: probes.map((probe, index) => packetOf(addresses, probe, `probes[${index}]`)),
  });
}

/** What the node holds as its map. Of its peers only those that have or carry one of the addresses: no other counts. */
function viewOf(ground: Ground, viewer: NodeEntry, { source, destination }: Addresses): MapView {
  const { visibility, epoch, revision } = ground;
  const peers = new Map<string, NodeEntry>();
  const see = (node: NodeEntry | undefined): void => {
    if (node && node.id !== viewer.id && visibility.sees(viewer, node)) peers.set(node.id, node);
  };
  for (const address of [source, destination]) visibility.holding(hostOf(address)).forEach(see);
  for (const { record } of peers.values()) see(visibility.node(record.via));
  const stale = ground.staleOf(viewer.id);
  return create(MapViewSchema, {
    own: viewer.record,
    peers: [...peers.values()].map(({ record }) => record),
    rules: [...visibility.rulesOf(viewer)].map(({ record }) => record),
    hints: ground.hintsOf([...peers.keys()]),
    epoch,
    revision,
    ...(stale !== undefined && { stale }),
  });
}

/** @throws Refusal `invalid` for a port where the protocol has none. */
function packetOf(
  { source, destination }: Addresses,
  { protocol, port }: WhyProbe,
  field: string,
): MessageInitShape<typeof PacketSchema> {
  const isIpv4 = source.length === 4;
  const number = protocol === 0 ? (isIpv4 ? ICMP : ICMPV6) : protocol;
  const hasPorts = number === TCP || number === UDP;
  if (port > 0 && !hasPorts) {
    throw new Refusal("invalid", "PORT_WITHOUT_PROTOCOL", "a port goes only with TCP and UDP", {
      field: `${field}.port`,
      remedy: "set the protocol to 6 (TCP) or 17 (UDP), or leave the port out",
    });
  }
  return {
    source,
    destination,
    protocol: number,
    ...(hasPorts && { sourcePort: EPHEMERAL_PORT, destinationPort: port }),
  };
}
