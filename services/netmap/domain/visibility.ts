import { AddressIndex } from "./address-index.ts";
import type { Entry, NodeEntry, RuleEntry, Side } from "./entry.ts";
import { matches, reaches, touches } from "./reach.ts";
import type { Interval } from "./space.ts";

/** Rules that speak of a node. */
interface Matching {
  readonly generation: number;
  readonly asSource: ReadonlySet<RuleEntry>;
  readonly asDestination: ReadonlySet<RuleEntry>;
}

/** Rules that use a selector, by the side on which they use it. */
interface Users {
  readonly sources: Set<RuleEntry>;
  readonly destinations: Set<RuleEntry>;
}

const SIDES = ["sources", "destinations"] as const;

/**
 * Who sees whom in one cvlan. Rules lead to selectors, selectors to nodes, and back, so that a change finds those it
 * concerns without looking at anybody else; an exact predicate then decides for each of them.
 */
export class Visibility {
  readonly #nodes = new Map<string, NodeEntry>();
  readonly #rules = new Map<string, RuleEntry>();
  readonly #members = new Map<string, Set<string>>();
  readonly #addresses = new AddressIndex();
  readonly #users = new Map<string, Users>();
  readonly #prefixUsers = new Map<string, Users & { readonly interval: Interval }>();
  readonly #matching = new WeakMap<NodeEntry, Matching>();
  #generation = 0;

  node(id: string): NodeEntry | undefined {
    return this.#nodes.get(id);
  }

  entry(objectId: string): Entry | undefined {
    return this.#nodes.get(objectId) ?? this.#rules.get(objectId);
  }

  /** The node of this name; names are unique in a cvlan. */
  named(name: string): NodeEntry | undefined {
    for (const node of this.#nodes.values()) if (node.record.name === name) return node;
    return undefined;
  }

  /** Nodes that have the address or carry a network with it. */
  holding(address: Interval): NodeEntry[] {
    return [...new Set(this.#addresses.touching(address))].flatMap((id) => this.#nodes.get(id) ?? []);
  }

  get nodeCount(): number {
    return this.#nodes.size;
  }

  /** Puts an entry in, in place of the one with the same id; `undefined` takes that one out. */
  replace(objectId: string, entry: Entry | undefined): void {
    const node = this.#nodes.get(objectId);
    if (node) this.#removeNode(node);
    const rule = this.#rules.get(objectId);
    if (rule) this.#removeRule(rule);
    if (entry?.kind === "node") this.#addNode(entry);
    if (entry?.kind === "rule") this.#addRule(entry);
  }

  /** True when either of two different nodes may send the other something. */
  sees(viewer: NodeEntry, peer: NodeEntry): boolean {
    return this.#reaches(viewer, peer) || this.#reaches(peer, viewer);
  }

  /** Nodes of the cvlan that the viewer sees, without itself. */
  *peersOf(viewer: NodeEntry): Iterable<NodeEntry> {
    for (const id of this.concernedBy(viewer)) {
      const peer = this.#nodes.get(id);
      if (peer && this.sees(viewer, peer)) yield peer;
    }
  }

  /** Rules that speak of the node on either side. */
  rulesOf(node: NodeEntry): Set<RuleEntry> {
    const { asSource, asDestination } = this.#match(node);
    return asSource.union(asDestination);
  }

  /** Ids of the other nodes that an allow rule pairs with this one: whoever sees it is among them. */
  concernedBy(node: NodeEntry): Set<string> {
    const { asSource, asDestination } = this.#match(node);
    const found = new Set<string>();
    for (const rule of asSource) if (rule.allows) this.#collect(rule.destinations, found);
    for (const rule of asDestination) if (rule.allows) this.#collect(rule.sources, found);
    found.delete(node.id);
    return found;
  }

  /** Ids of the nodes that a side of a rule speaks of. */
  membersOf(side: Side): Set<string> {
    const found = new Set<string>();
    this.#collect(side, found);
    return found;
  }

  #collect(side: Side, found: Set<string>): void {
    for (const key of side.keys) for (const id of this.#members.get(key) ?? []) found.add(id);
    for (const prefix of side.prefixes) for (const id of this.#addresses.touching(prefix)) found.add(id);
  }

  #reaches(source: NodeEntry, destination: NodeEntry): boolean {
    const { asSource } = this.#match(source);
    const { asDestination } = this.#match(destination);
    return reaches(source, destination, [...asSource.intersection(asDestination)]);
  }

  #match(node: NodeEntry): Matching {
    const known = this.#matching.get(node);
    if (known?.generation === this.#generation) return known;
    const asSource = new Set<RuleEntry>();
    const asDestination = new Set<RuleEntry>();
    const add = (users: Users) => {
      for (const rule of users.sources) asSource.add(rule);
      for (const rule of users.destinations) asDestination.add(rule);
    };
    for (const key of node.keys) {
      const users = this.#users.get(key);
      if (users) add(users);
    }
    for (const users of this.#prefixUsers.values()) if (touches(users.interval, node)) add(users);
    const matching = { generation: this.#generation, asSource, asDestination };
    this.#matching.set(node, matching);
    return matching;
  }

  #addNode(node: NodeEntry): void {
    this.#nodes.set(node.id, node);
    for (const key of node.keys) getOrMake(this.#members, key, () => new Set()).add(node.id);
    for (const interval of node.space) this.#addresses.add(interval, node.id);
  }

  #removeNode(node: NodeEntry): void {
    this.#nodes.delete(node.id);
    for (const key of node.keys) {
      const members = this.#members.get(key);
      members?.delete(node.id);
      if (members?.size === 0) this.#members.delete(key);
    }
    for (const interval of node.space) this.#addresses.delete(interval, node.id);
  }

  #addRule(rule: RuleEntry): void {
    this.#generation++;
    this.#rules.set(rule.id, rule);
    const none = () => ({ sources: new Set<RuleEntry>(), destinations: new Set<RuleEntry>() });
    for (const side of SIDES) {
      for (const key of rule[side].keys) getOrMake(this.#users, key, none)[side].add(rule);
      for (const interval of rule[side].prefixes) {
        getOrMake(this.#prefixUsers, prefixKey(interval), () => ({ ...none(), interval }))[side].add(rule);
      }
    }
  }

  #removeRule(rule: RuleEntry): void {
    this.#generation++;
    this.#rules.delete(rule.id);
    for (const side of SIDES) {
      for (const key of rule[side].keys) drop(this.#users, key, side, rule);
      for (const interval of rule[side].prefixes) drop(this.#prefixUsers, prefixKey(interval), side, rule);
    }
  }
}

/** True when the rule speaks of the node on either side. */
export function concerns(rule: RuleEntry, node: NodeEntry): boolean {
  return matches(rule.sources, node) || matches(rule.destinations, node);
}

function prefixKey({ first, length }: Interval): string {
  return `${first}/${length}`;
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

function drop(users: Map<string, Users>, key: string, side: (typeof SIDES)[number], rule: RuleEntry): void {
  const found = users.get(key);
  if (!found) return;
  found[side].delete(rule);
  if (found.sources.size === 0 && found.destinations.size === 0) users.delete(key);
}
