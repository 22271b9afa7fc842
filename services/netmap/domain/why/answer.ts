import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ExplainResponse,
  type Following,
  type Hop,
  HopSchema,
  type Verdict,
} from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { PolicyAction } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { type WhyAnswer, WhyAnswerSchema } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { type Address, formatAddress } from "@cloudvlan/kit/net";
import type { NodeEntry } from "../entry.ts";
import type { Visibility } from "../visibility.ts";
import { type Addresses, hasAddress } from "./ends.ts";

/** Whether a node is heard of. */
export interface Presence {
  readonly online: boolean;
  /** Milliseconds since the Unix epoch; undefined when it never was online. */
  readonly lastSeenMs: number | undefined;
}

/** Where the rules of the policy stand in the operator's file. */
export interface RuleLines {
  readonly file: string;
  /** Line by the rule's name, from 1. */
  readonly lines: ReadonlyMap<string, number>;
}

/** What an answer is made of, besides what the engine says. */
export interface Facts {
  readonly visibility: Visibility;
  readonly epoch: bigint;
  readonly revision: bigint;
  readonly addresses: Addresses;
  readonly source: NodeEntry;
  /** Those that may be where the packets go, the likeliest first. */
  readonly destinations: readonly NodeEntry[];
  presenceOf(nodeId: string): Presence;
  readonly ruleLines: RuleLines | undefined;
}

/** The hops of one packet, in the order in which it meets them. */
export function answerOf(facts: Facts, following: Following, verdict: Verdict): WhyAnswer {
  const { outbound, inbound } = following;
  const destination = facts.destinations.find(({ id }) => id === following.destinationId) ?? facts.destinations.at(0);
  const found = [
    sourceHop(facts),
    destinationHop(facts, destination),
    destination && mapHop(facts, destination, following),
    routeHop(outbound, inbound, destination),
    destination && ruleHop(facts, verdict),
    renamed("source_filter", hopIn(outbound, "filter"), facts.source),
    destination && renamed("destination_filter", hopIn(inbound, "filter"), destination),
    destination && pathHop(facts, destination, hopIn(outbound, "path")),
  ];
  const hops = found.filter((hop) => hop !== undefined);
  const isCarried = outbound?.forwarded === true && inbound?.forwarded === true;
  return create(WhyAnswerSchema, { forwarded: isCarried && hops.every(({ ok }) => ok), hops });
}

/** The answer about an end that is no member any more, or not yet. */
export function answerWithout(hops: readonly Hop[]): WhyAnswer {
  return create(WhyAnswerSchema, { forwarded: false, hops: [...hops] });
}

export function okHop(name: string, detail: string, more: MessageInitShape<typeof HopSchema> = {}): Hop {
  return create(HopSchema, { ...more, name, ok: true, detail });
}

export function blockedHop(
  name: string,
  detail: string,
  remedy: string,
  more: MessageInitShape<typeof HopSchema> = {},
): Hop {
  return create(HopSchema, { ...more, name, ok: false, detail, remedy });
}

function hopIn(explained: ExplainResponse | undefined, name: string): Hop | undefined {
  return explained?.hops.find((hop) => hop.name === name);
}

function renamed(name: string, hop: Hop | undefined, node: NodeEntry): Hop | undefined {
  return hop && create(HopSchema, { ...hop, name, nodeId: node.id });
}

function sourceHop({ source, addresses }: Facts): Hop {
  return okHop("source", `${formatAddress(addresses.source)} is ${source.record.name}`, { nodeId: source.id });
}

function destinationHop({ addresses }: Facts, node: NodeEntry | undefined): Hop {
  const address = formatAddress(addresses.destination);
  if (!node) {
    const remedy = "check the address, and the routes of the node that is to carry it (`cvlan node show`)";
    return blockedHop("destination", `no node of this network has or carries ${address}`, remedy);
  }
  return okHop("destination", `${address} is ${behind(node, addresses.destination)}${node.record.name}`, {
    nodeId: node.id,
  });
}

function behind(node: NodeEntry, address: Address): string {
  return hasAddress(node, address) ? "" : "behind ";
}

function mapHop(facts: Facts, destination: NodeEntry, { outbound, inbound }: Following): Hop {
  const { source, visibility, epoch, revision } = facts;
  const both = `${source.record.name} and ${destination.record.name}`;
  if (!visibility.sees(source, destination)) {
    const remedy =
      "add a rule that allows something between them with `cvlan policy apply`, or narrow one that denies all";
    return blockedHop("map", `${both} do not see each other: the policy leaves nothing between them`, remedy);
  }
  for (const [explained, node] of [
    [outbound, source],
    [inbound, destination],
  ] as const) {
    const hop = hopIn(explained, "map");
    if (hop && !hop.ok) return blockedHop("map", `${node.record.name}: ${hop.detail}`, hop.remedy, { nodeId: node.id });
  }
  return okHop("map", `${both} see each other at revision ${epoch}.${revision}`);
}

/** Both ends must agree on whose the addresses are. */
function routeHop(
  outbound: ExplainResponse | undefined,
  inbound: ExplainResponse | undefined,
  destination: NodeEntry | undefined,
): Hop | undefined {
  const [out, back] = [hopIn(outbound, "route"), hopIn(inbound, "route")];
  return out?.ok && back && !back.ok && destination ? renamed("route", back, destination) : out;
}

function ruleHop({ ruleLines }: Facts, { allowed, ruleName, ruleId, action }: Verdict): Hop {
  if (ruleName === "") {
    return blockedHop("rule", "no rule allows it", "add a rule that allows it with `cvlan policy apply`");
  }
  const line = ruleLines?.lines.get(ruleName);
  const place = ruleLines && line !== undefined && { policyFile: ruleLines.file, policyLine: line };
  const more = { ruleName, ruleId, ...place };
  if (allowed && action === PolicyAction.ALLOW) return okHop("rule", `rule ${ruleName} allows it`, more);
  const remedy = "a deny beats every allow: narrow that rule, or leave this traffic out";
  return blockedHop("rule", `rule ${ruleName} denies it`, remedy, more);
}

/** Whether both ends are heard of, then what the source knows of the way; undefined when it did not come so far. */
function pathHop(facts: Facts, destination: NodeEntry, path: Hop | undefined): Hop | undefined {
  const carrier = facts.visibility.node(destination.record.via) ?? destination;
  for (const node of [facts.source, carrier]) {
    const { online, lastSeenMs } = facts.presenceOf(node.id);
    if (online) continue;
    const since =
      lastSeenMs === undefined ? "never was online" : `is offline since ${new Date(lastSeenMs).toISOString()}`;
    const remedy = `see \`cvlan status\` on ${node.record.name}: its agent has no stream to the controller`;
    return blockedHop("path", `${node.record.name} ${since}`, remedy, { nodeId: node.id });
  }
  return path;
}
