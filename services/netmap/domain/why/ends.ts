import { Refusal } from "@cloudvlan/kit/errors";
import { type Address, formatAddress, parseAddress } from "@cloudvlan/kit/net";
import type { NodeEntry } from "../entry.ts";
import { type Interval, intervalOf } from "../space.ts";
import type { Visibility } from "../visibility.ts";

/** What a question names: a node, or an address that several nodes may have or carry. */
export type End =
  | { readonly kind: "node"; readonly node: NodeEntry }
  | { readonly kind: "address"; readonly address: Address; readonly nodes: readonly NodeEntry[] };

/** Source and destination of packets. */
export interface Addresses {
  readonly source: Address;
  readonly destination: Address;
}

/**
 * The node that sends: by name, id or one of its own addresses.
 * @returns undefined when the map has none.
 */
export function sourceIn(visibility: Visibility, text: string): End | undefined {
  const address = parseAddress(text);
  if (!address) return nodeIn(visibility, text);
  const [owner] = holders(visibility, address).filter(({ addresses }) => addresses.some(isExactly(address)));
  return owner && { kind: "address", address, nodes: [owner] };
}

/**
 * Where packets go: a node by name or id, or an address, whoever has or carries it; the nearest first.
 * @returns undefined when the map has no such node.
 */
export function destinationIn(visibility: Visibility, text: string): End | undefined {
  const address = parseAddress(text);
  return address ? { kind: "address", address, nodes: holders(visibility, address) } : nodeIn(visibility, text);
}

function nodeIn(visibility: Visibility, text: string): End | undefined {
  const node = visibility.node(text) ?? visibility.named(text);
  return node && { kind: "node", node };
}

/** Nodes that have the address or a network with it, longest prefix first, of equal ones as an engine takes them. */
function holders(visibility: Visibility, address: Address): NodeEntry[] {
  const length = (node: NodeEntry): number =>
    Math.max(...node.space.filter((interval) => isInside(interval, address)).map((interval) => interval.length));
  return visibility.holding(hostOf(address)).toSorted((a, b) => length(b) - length(a) || (a.id < b.id ? -1 : 1));
}

/** The interval of one address. */
export function hostOf(address: Address): Interval {
  return intervalOf({ $typeName: "cloudvlan.entity.v1.Prefix", address, length: address.length * 8 });
}

function isInside(interval: Interval, address: Address): boolean {
  const { first } = hostOf(address);
  return interval.first.length === first.length && interval.first <= first && first <= interval.last;
}

function isExactly(address: Address): (interval: Interval) => boolean {
  const { first } = hostOf(address);
  return (interval) => interval.first === first;
}

/** True when the node itself has the address. */
export function hasAddress(node: NodeEntry, address: Address): boolean {
  return node.addresses.some(isExactly(address));
}

/**
 * Addresses of one family for both ends: IPv4 unless one of them has none or was given otherwise.
 * @throws Refusal `invalid` when there is none.
 */
export function addressesOf(source: End, destination: End): Addresses {
  for (const bytes of [4, 16]) {
    const from = addressIn(source, bytes);
    const to = addressIn(destination, bytes);
    if (!from || !to) continue;
    if (formatAddress(from) === formatAddress(to)) throw sameNode();
    return { source: from, destination: to };
  }
  // A node may be asked by an address of a family that the other, given by address, does not share.
  throw new Refusal("invalid", "NO_COMMON_FAMILY", "the two ends have no address of one family", {
    field: "destination",
    remedy: "give both as IPv4 or both as IPv6, or by name",
  });
}

function addressIn(end: End, bytes: number): Address | undefined {
  if (end.kind === "address") return end.address.length === bytes ? end.address : undefined;
  return end.node.record.addresses.find(({ address }) => address.length === bytes)?.address;
}

/** The refusal of a question about packets that never leave their machine. */
export function sameNode(): Refusal {
  return new Refusal("invalid", "SAME_NODE", "source and destination are one node; its packets to itself stay on it", {
    field: "destination",
    remedy: "name another node",
  });
}
