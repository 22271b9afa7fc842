import { fromBinary } from "@bufbuild/protobuf";
import {
  type NodeRecord,
  NodeRecordSchema,
  type RuleRecord,
  RuleRecordSchema,
  type RuleSelector,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { PolicyAction, PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { type Interval, intervalOf } from "./space.ts";
import { delimited } from "./wire.ts";

/** A node as the index knows it. Never changed: a new record is a new entry. */
export interface NodeEntry {
  readonly kind: "node";
  /** Object id: `node_…`. */
  readonly id: string;
  readonly record: NodeRecord;
  /** Serialised `Signed`. */
  readonly bytes: Uint8Array;
  /** The bytes as a field of `MapUpdate`, ready to be written. */
  readonly field: Uint8Array;
  /** Identity selectors that match the node. */
  readonly keys: readonly string[];
  /** The node's own overlay addresses. */
  readonly addresses: readonly Interval[];
  /** Addresses and routes. */
  readonly space: readonly Interval[];
}

/** Who a rule speaks of on one side: nodes by identity, or addresses. */
export interface Side {
  readonly keys: readonly string[];
  readonly prefixes: readonly Interval[];
}

/** A rule as the index knows it. Never changed. */
export interface RuleEntry {
  readonly kind: "rule";
  /** Object id: `rule_<hex>`. */
  readonly id: string;
  readonly record: RuleRecord;
  readonly bytes: Uint8Array;
  readonly field: Uint8Array;
  readonly allows: boolean;
  readonly sources: Side;
  readonly destinations: Side;
  /** Protocols and ports on one axis; see `axisOf`. */
  readonly axis: readonly Span[];
}

export type Entry = NodeEntry | RuleEntry;

/** Both ends inside. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

const NODES_FIELD = 7;
const RULES_FIELD = 8;

/**
 * @param bytes serialised `Signed`, its signature verified.
 * @throws Error when the payload is not a record that can be served.
 */
export function nodeEntry(payload: Uint8Array, bytes: Uint8Array): NodeEntry {
  const record = fromBinary(NodeRecordSchema, payload);
  const addresses = record.addresses.map(intervalOf);
  return {
    kind: "node",
    id: record.nodeId,
    record,
    bytes,
    field: delimited(NODES_FIELD, bytes),
    keys: [ANY, nodeKey(record.nodeId), ...record.selectors.map(selectorKey)],
    addresses,
    space: [...addresses, ...record.routes.map(intervalOf)],
  };
}

/**
 * @param bytes serialised `Signed`, its signature verified.
 * @throws Error when the payload is not a record that can be served.
 */
export function ruleEntry(payload: Uint8Array, bytes: Uint8Array): RuleEntry {
  const record = fromBinary(RuleRecordSchema, payload);
  if (record.ruleId.length !== 16) throw new Error("a rule id has 16 bytes");
  if (record.action !== PolicyAction.ALLOW && record.action !== PolicyAction.DENY)
    throw new Error("a rule allows or denies");
  return {
    kind: "rule",
    id: ruleObject(record.ruleId),
    record,
    bytes,
    field: delimited(RULES_FIELD, bytes),
    allows: record.action === PolicyAction.ALLOW,
    sources: sideOf(record.sources),
    destinations: sideOf(record.destinations),
    axis: axisOf(record),
  };
}

/** Object id of a rule. */
export function ruleObject(ruleId: Uint8Array): string {
  return `rule_${Buffer.from(ruleId).toString("hex")}`;
}

/** The 16 bytes in a rule's object id. */
export function ruleIdOf(objectId: string): Uint8Array {
  return Uint8Array.from(Buffer.from(objectId.slice("rule_".length), "hex"));
}

const ANY = "any";

function nodeKey(nodeId: string): string {
  return `n:${nodeId}`;
}

function selectorKey(id: Uint8Array): string {
  return `s:${Buffer.from(id).toString("hex")}`;
}

function sideOf(selectors: readonly RuleSelector[]): Side {
  const keys: string[] = [];
  const prefixes: Interval[] = [];
  for (const { selector } of selectors) {
    switch (selector.case) {
      case "any":
        keys.push(ANY);
        break;
      case "selectorId":
        keys.push(selectorKey(selector.value));
        break;
      case "nodeId":
        keys.push(nodeKey(selector.value));
        break;
      case "prefix":
        prefixes.push(intervalOf(selector.value));
        break;
      default:
        throw new Error("a rule has a selector that this version does not know");
    }
  }
  return { keys, prefixes };
}

const PORTS = 65_536;
const ICMP = 2 * PORTS;
const OTHER = ICMP + 1;

/** TCP ports, then UDP ports, then ICMP, then every other protocol: what a rule speaks of becomes spans on one axis. */
function axisOf({ protocol, ports }: RuleRecord): Span[] {
  switch (protocol) {
    case PolicyProtocol.ANY:
      return [{ first: 0, last: OTHER }];
    case PolicyProtocol.ICMP:
      return [{ first: ICMP, last: ICMP }];
    case PolicyProtocol.TCP:
    case PolicyProtocol.UDP: {
      const base = protocol === PolicyProtocol.TCP ? 0 : PORTS;
      if (ports.length === 0) return [{ first: base, last: base + PORTS - 1 }];
      return ports.map(({ first, last }) => ({ first: base + first, last: base + (last === 0 ? first : last) }));
    }
    default:
      throw new Error("a rule has a protocol that this version does not know");
  }
}
