import type { WireOptions } from "./wire.ts";

export interface LabRoute {
  /** `default`, or a prefix. */
  readonly to: string;
  /** Gateway; absent where `to` is on the link itself. */
  readonly via?: string;
}

/** What an interface of a machine has. */
interface LabInterface {
  /** Interface name, at most 15 bytes; in the current namespace it must be free. */
  readonly interface: string;
  /** IPv4 or IPv6 addresses with prefix length. */
  readonly address?: string | readonly string[];
  readonly routes?: readonly LabRoute[];
}

/** Joins ends of wires to one segment. */
export type LabBridge = LabInterface;

/** A machine of the lab: a network namespace, or the one the lab itself runs in. */
export interface LabNode {
  readonly name: string;
  /** Forwards IPv4 and IPv6 between its interfaces. */
  readonly router?: boolean;
  /** The namespace in which the lab's own process runs. */
  readonly current?: boolean;
  readonly bridges?: readonly LabBridge[];
}

/** One end of a wire. */
export interface LabEnd extends LabInterface {
  readonly node: string;
  /** Bridge of the node that the end belongs to. */
  readonly bridge?: string;
}

export interface LabLink {
  readonly ends: readonly [LabEnd, LabEnd];
  /** Bytes; 1500 when absent. */
  readonly mtu?: number;
  /** Makes it a wire of IP packets that delays, loses or doubles them; its ends have no Ethernet, so no bridge takes them. */
  readonly wire?: WireOptions;
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

/** Packets that an interface of an impaired wire holds until they are read; the default drops bursts. */
const WIRE_BACKLOG = 10_000;

function setUp(where: LabInterface, mtu: number): string[] {
  const { interface: name, address = [], routes = [] } = where;
  const addresses = typeof address === "string" ? [address] : address;
  return [
    // Without a wait for other holders of an IPv6 address: there are none.
    ...addresses.map((one) => `addr add ${one} dev ${name}${one.includes(":") ? " nodad" : ""}`),
    `link set ${name} mtu ${mtu} up`,
    ...routes.map(({ to, via }) => `route add ${to}${via === undefined ? "" : ` via ${via}`} dev ${name}`),
  ];
}

/** The line that makes a wire. @param namespaceOf name of a node's namespace; undefined for the current one */
function vethLine({ ends }: LabLink, namespaceOf: (node: string) => string | undefined): string {
  const [a, b] = ends.map((end) => {
    const namespace = namespaceOf(end.node);
    return namespace === undefined ? end.interface : `${end.interface} netns ${namespace}`;
  });
  return `link add name ${a} type veth peer name ${b}`;
}

/**
 * Turns links into batches. Impaired wires are not made by `ip`: they must stand before the batches inside.
 * @param namespaceOf name of a node's namespace; undefined for the current one
 */
export function batchesOfLinks(links: readonly LabLink[], namespaceOf: (node: string) => string | undefined): Batches {
  const create = links.filter(({ wire }) => !wire).map((link) => vethLine(link, namespaceOf));
  const inside = new Map<string, string[]>();
  for (const { ends, mtu = 1500, wire } of links) {
    for (const end of ends) {
      const lines = inside.get(end.node) ?? [];
      inside.set(end.node, lines);
      if (end.bridge !== undefined) lines.push(`link set ${end.interface} master ${end.bridge}`);
      if (wire) lines.push(`link set ${end.interface} txqueuelen ${WIRE_BACKLOG}`);
      lines.push(...setUp(end, mtu));
    }
  }
  return { create, inside };
}

/**
 * Turns a topology into batches.
 * @param namespaceOf name of a node's namespace; undefined for the current one
 * @throws Error when a wire ends at a node that is not there
 */
export function batchesOf(topology: Topology, namespaceOf: (node: string) => string | undefined): Batches {
  const create: string[] = [];
  const inside = new Map<string, string[]>();
  for (const { name, bridges = [] } of topology.nodes) {
    const namespace = namespaceOf(name);
    if (namespace !== undefined) create.push(`netns add ${namespace}`);
    const lines = namespace === undefined ? [] : ["link set lo up"];
    for (const bridge of bridges) lines.push(`link add ${bridge.interface} type bridge`, ...setUp(bridge, 1500));
    inside.set(name, lines);
  }
  const links = batchesOfLinks(topology.links, namespaceOf);
  for (const [node, more] of links.inside) {
    const lines = inside.get(node);
    if (!lines) throw new Error(`the topology has a wire to ${node}, which is not among its nodes`);
    lines.push(...more);
  }
  return { create: [...create, ...links.create], inside };
}
