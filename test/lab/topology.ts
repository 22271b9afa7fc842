/** A machine of the lab: a network namespace, or the one the lab itself runs in. */
export interface LabNode {
  readonly name: string;
  /** Forwards IPv4 between its interfaces. */
  readonly router?: boolean;
  /** The namespace in which the lab's own process runs. */
  readonly current?: boolean;
}

/** One end of a wire. */
export interface LabEnd {
  readonly node: string;
  /** Interface name, at most 15 bytes; in the current namespace it must be free. */
  readonly interface: string;
  /** IPv4 or IPv6 address with prefix length. */
  readonly address: string;
  /** Routes through this end, as `destination via gateway`. */
  readonly routes?: readonly { readonly to: string; readonly via: string }[];
}

export interface LabLink {
  readonly ends: readonly [LabEnd, LabEnd];
  /** Bytes; 1500 when absent. */
  readonly mtu?: number;
}

export interface Topology {
  readonly nodes: readonly LabNode[];
  readonly links: readonly LabLink[];
}

/** The batches for `ip -batch`: one that makes everything, then one inside each node. */
export interface Batches {
  readonly create: readonly string[];
  readonly inside: ReadonlyMap<string, readonly string[]>;
}

/**
 * Turns a topology into batches.
 * @param namespaceOf name of a node's namespace; undefined for the current one
 * @throws Error when a wire ends at a node that is not there
 */
export function batchesOf(topology: Topology, namespaceOf: (node: string) => string | undefined): Batches {
  const create: string[] = [];
  const inside = new Map<string, string[]>();
  for (const node of topology.nodes) {
    const namespace = namespaceOf(node.name);
    if (namespace !== undefined) create.push(`netns add ${namespace}`);
    inside.set(node.name, namespace === undefined ? [] : ["link set lo up"]);
  }
  const place = (end: LabEnd): string => {
    const namespace = namespaceOf(end.node);
    return namespace === undefined ? end.interface : `${end.interface} netns ${namespace}`;
  };
  for (const { ends, mtu } of topology.links) {
    const [a, b] = ends;
    create.push(`link add name ${place(a)} type veth peer name ${place(b)}`);
    for (const end of ends) {
      const lines = inside.get(end.node);
      if (!lines) throw new Error(`the topology has a wire to ${end.node}, which is not among its nodes`);
      lines.push(`addr add ${end.address} dev ${end.interface}`, `link set ${end.interface} mtu ${mtu ?? 1500} up`);
      for (const route of end.routes ?? []) lines.push(`route add ${route.to} via ${route.via} dev ${end.interface}`);
    }
  }
  return { create, inside };
}
