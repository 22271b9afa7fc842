import type { NodeEntry, RuleEntry, Side, Span } from "./entry.ts";
import { covers, type Interval } from "./space.ts";

/**
 * True when some packet from `source` to `destination` is allowed: one that an allow rule covers and no deny rule does.
 * Exact in addresses, protocols and ports, as the engine's filter judges. A selector by identity (any, tag, group,
 * node) allows the node's own addresses, and denies those behind it too; a prefix speaks of whatever addresses it holds. Which tunnel carries the packet
 * does not matter here.
 * @param rules those that match `source` as a source and `destination` as a destination.
 */
export function reaches(source: NodeEntry, destination: NodeEntry, rules: readonly RuleEntry[]): boolean {
  if (!rules.some((rule) => rule.allows)) return false;
  const from = points(source, rules, "sources");
  const to = points(destination, rules, "destinations");
  for (const sender of from) {
    for (const receiver of to) {
      if (sender.length !== receiver.length) continue;
      const covering = rules.filter(
        (rule) =>
          coversAddress(rule, "sources", source, sender) && coversAddress(rule, "destinations", destination, receiver),
      );
      if (leavesAnything(covering)) return true;
    }
  }
  return false;
}

/** Addresses that stand for all addresses of the node: whatever rules cover some address of its, they cover one of these alike. */
function points(node: NodeEntry, rules: readonly RuleEntry[], side: "sources" | "destinations"): Set<string> {
  const found = new Set<string>();
  for (const { first } of node.space) found.add(first);
  for (const rule of rules) {
    for (const prefix of rule[side].prefixes) {
      if (isInside(node.space, prefix.first)) found.add(prefix.first);
      const after = successor(prefix.last);
      if (after !== undefined && isInside(node.space, after)) found.add(after);
    }
  }
  // An own address inside a route is covered by identity while its neighbours are not.
  for (const { last } of node.addresses) {
    const after = successor(last);
    if (after !== undefined && isInside(node.space, after)) found.add(after);
  }
  return found;
}

function isInside(space: readonly Interval[], address: string): boolean {
  return space.some((interval) => holds(interval, address));
}

function holds(interval: Interval, address: string): boolean {
  return interval.first.length === address.length && interval.first <= address && address <= interval.last;
}

function successor(address: string): string | undefined {
  const next = (BigInt(`0x${address}`) + 1n).toString(16).padStart(address.length, "0");
  return next.length > address.length ? undefined : next;
}

function coversAddress(rule: RuleEntry, side: "sources" | "destinations", node: NodeEntry, address: string): boolean {
  if (rule[side].prefixes.some((prefix) => holds(prefix, address))) return true;
  return matchesIdentity(rule[side], node) && (!rule.allows || isInside(node.addresses, address));
}

/** True when a selector of the side names the node itself. */
export function matchesIdentity(side: Side, node: NodeEntry): boolean {
  return side.keys.some((key) => node.keys.includes(key));
}

/** True when the side speaks of the node or of an address it has or carries. */
export function matches(side: Side, node: NodeEntry): boolean {
  return matchesIdentity(side, node) || side.prefixes.some((prefix) => touches(prefix, node));
}

/** True when the node has an address or a route that shares an address with the prefix. */
export function touches(prefix: Interval, node: NodeEntry): boolean {
  return node.space.some((interval) => covers(prefix, interval) || covers(interval, prefix));
}

/** True when the allows among the rules leave a protocol and port that the denies do not take. */
function leavesAnything(rules: readonly RuleEntry[]): boolean {
  const denied = rules.filter((rule) => !rule.allows).flatMap(({ axis }) => axis);
  const allowed = rules.filter((rule) => rule.allows).flatMap(({ axis }) => axis);
  if (denied.length === 0) return allowed.length > 0;
  // Where anything is left, the smallest such place starts an allowed span or follows a denied one.
  const candidates = [...allowed.map(({ first }) => first), ...denied.map(({ last }) => last + 1)];
  return candidates.some((place) => isOn(allowed, place) && !isOn(denied, place));
}

function isOn(spans: readonly Span[], place: number): boolean {
  return spans.some(({ first, last }) => first <= place && place <= last);
}
