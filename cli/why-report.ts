import { toJson } from "@bufbuild/protobuf";
import {
  type ExplainResponse,
  ExplainResponseSchema,
  type Hop,
  type MapState,
  MapStateSchema,
  type PeerStatus,
  PeerStatusSchema,
} from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { type WhyAnswer, type WhyResponse, WhyResponseSchema } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { ago, endpointText, type ErrorReport, pathMtuText, printable, table } from "./print.ts";

/** What the engine of this machine holds. */
export interface LocalView {
  /** Which end of the packet this machine is. */
  readonly side: "source" | "destination";
  readonly explanation: ExplainResponse;
  readonly map: MapState | undefined;
  /** The other end, or who carries it. */
  readonly peer: PeerStatus | undefined;
}

/** What was found out; a part that failed says why. At least one of both is there. */
export interface Findings {
  /** The packet's end as it was asked for. */
  readonly destination: string;
  readonly controller: WhyResponse | ErrorReport | undefined;
  readonly local: LocalView | ErrorReport | undefined;
}

function isReport(part: object | undefined): part is ErrorReport {
  return part !== undefined && "remedy" in part;
}

function answerIn({ controller }: Findings): WhyAnswer | undefined {
  return isReport(controller) ? undefined : controller?.answers[0];
}

function viewIn({ local }: Findings): LocalView | undefined {
  return isReport(local) ? undefined : local;
}

/** True when nobody who was asked says otherwise. An engine that does not know the other end forwards nothing to it. */
export function isForwarded(findings: Findings): boolean {
  if (isReport(findings.local)) return false;
  const verdicts = [answerIn(findings)?.forwarded, viewIn(findings)?.explanation.forwarded];
  return verdicts.includes(true) && !verdicts.includes(false);
}

/** The first thing that stands in the way. */
export function blockedAt(findings: Findings): { readonly name: string; readonly remedy: string } | undefined {
  const hops = [...(answerIn(findings)?.hops ?? []), ...(viewIn(findings)?.explanation.hops ?? [])];
  const hop = hops.find(({ ok }) => !ok);
  if (hop) return hop;
  return isReport(findings.local) ? { name: "this machine", remedy: findings.local.remedy } : undefined;
}

/** Where the controller and this machine's engine disagree: what the controller gives has not arrived, or was not taken. */
export function differencesIn(findings: Findings): string[] {
  const answer = answerIn(findings);
  const view = viewIn(findings);
  if (!answer || !view) return [];
  const pairs = [
    ["map", "map"],
    ["route", "route"],
    [`${view.side}_filter`, "filter"],
  ] as const;
  return pairs.flatMap(([name, localName]) => {
    const given = answer.hops.find((hop) => hop.name === name);
    const held = view.explanation.hops.find((hop) => hop.name === localName);
    if (!given || !held || (given.ok === held.ok && given.ruleName === held.ruleName)) return [];
    return [`${name}: the controller gives "${given.detail}", this machine has "${held.detail}"`];
  });
}

/** One document; parts that were not asked are left out. */
export function whyJson(findings: Findings): string {
  const { controller, local } = findings;
  const document = {
    forwarded: isForwarded(findings),
    ...(controller && {
      controller: isReport(controller) ? { error: controller } : toJson(WhyResponseSchema, controller),
    }),
    ...(local && { local: isReport(local) ? { error: local } : viewJson(local) }),
    differences: differencesIn(findings),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function viewJson({ side, explanation, map, peer }: LocalView) {
  return {
    side,
    explanation: toJson(ExplainResponseSchema, explanation),
    ...(map && { map: toJson(MapStateSchema, map) }),
    ...(peer && { peer: toJson(PeerStatusSchema, peer) }),
  };
}

/** The findings as people read them. */
export function whyText(findings: Findings, nowMs: number): string {
  const { destination, controller, local } = findings;
  const parts = [
    isReport(controller) ? `the controller cannot say: ${printable(controller.message)}\n` : "",
    hopTable(answerIn(findings)?.hops),
    controller && local ? "\nwhat this machine's engine holds:\n" : "",
    isReport(local) ? `${printable(local.message)}\n` : "",
    hopTable(viewIn(findings)?.explanation.hops),
    localText(viewIn(findings), nowMs),
    ...differencesIn(findings).map((difference) => `DIFFERS: ${printable(difference)}\n`),
    controller && local ? "\n" : "",
    `a packet to ${printable(destination)} is ${isForwarded(findings) ? "" : "not "}forwarded\n`,
  ];
  return parts.join("");
}

function hopTable(hops: readonly Hop[] | undefined): string {
  if (!hops) return "";
  const rows = hops.map((hop) => [hop.name.replaceAll("_", " "), hop.ok ? "ok" : "BLOCKED", foundText(hop)]);
  return table(["HOP", "VERDICT", "FOUND"], rows);
}

function foundText({ detail, policyFile, policyLine }: Hop): string {
  return policyFile === "" ? detail : `${detail} (${policyFile}:${policyLine})`;
}

function localText(view: LocalView | undefined, nowMs: number): string {
  if (!view) return "";
  const { map, peer } = view;
  const mapLine = map
    ? `map: revision ${map.epoch}.${map.revision}, head ${ago(map.headIssuedAt, nowMs)}${map.stale ? ", STALE" : ""}\n`
    : "map: none yet\n";
  if (!peer) return mapLine;
  const handshake = ago(peer.latestHandshakeAt, nowMs) || "never";
  const endpoint = peer.endpoint ? ` with ${endpointText(peer.endpoint)}` : "";
  const path = pathMtuText(peer);
  const pathLine = path && `largest packet to ${printable(peer.name)}: ${path}\n`;
  return `${mapLine}last handshake with ${printable(peer.name)}: ${handshake}${endpoint}\n${pathLine}`;
}
