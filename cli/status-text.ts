import {
  AgentState,
  AgentStateSchema,
  type AgentStatus,
  ControllerState,
  ControllerStateSchema,
  Health,
  HealthSchema,
  PeerState,
  PeerStateSchema,
} from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { type DnsStatus, type EngineStatus, InterfaceKind } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { formatAddress } from "@cloudvlan/kit/net";
import { ago, endpointText, fields, pathMtuText, printable, size, span, table, word } from "./print.ts";

/**
 * The status as people read it.
 * @param elapsedMs milliseconds since the agent told it: what it calls ages has grown by them.
 */
export function statusText(status: AgentStatus, nowMs: number, elapsedMs = 0): string {
  return [headText(status, nowMs, elapsedMs), peersText(status, elapsedMs), problemsText(status)]
    .filter((part) => part !== "")
    .join("\n");
}

/** The status in one line, for a log. */
export function statusLine(status: AgentStatus, nowMs: number): string {
  const active = status.peers.filter(({ state }) => state === PeerState.ACTIVE).length;
  const parts = [
    new Date(nowMs).toISOString(),
    healthText(status) || word(AgentStateSchema.value[status.state]?.localName),
    `controller ${word(ControllerStateSchema.value[status.controller]?.localName) || "none"}`,
    `map ${mapText(status, nowMs, 0)}`,
    `${active} of ${status.peers.length} peers active`,
  ];
  return `${parts.map(printable).join("; ")}\n`;
}

function headText(status: AgentStatus, nowMs: number, elapsedMs: number): string {
  const state = word(AgentStateSchema.value[status.state]?.localName);
  if (status.state === AgentState.UNENROLLED) {
    return fields([
      ["state", `${state}; pipe a join string into \`cvlan join\``],
      ["versions", versionsText(status)],
    ]);
  }
  const { engine } = status;
  return fields([
    ["name", status.name],
    ["network", status.cvlanName || status.cvlanId],
    ["state", state],
    ["health", healthText(status)],
    ["addresses", (engine?.addresses ?? []).map(({ address }) => formatAddress(address)).join(" ")],
    ["interface", engine ? interfaceText(engine) : "engine not running"],
    ...dnsField(engine?.dns),
    ["controller", controllerText(status, elapsedMs)],
    ["map", mapText(status, nowMs, elapsedMs)],
    ["certificate", certificateText(status, nowMs)],
    ["versions", versionsText(status)],
  ]);
}

function healthText({ health, healthReason }: AgentStatus): string {
  if (health === Health.UNSPECIFIED) return "";
  return `${word(HealthSchema.value[health]?.localName)}${healthReason && `: ${healthReason}`}`;
}

function interfaceText({ interfaceKind, interfaceName, listenPort, mtu }: EngineStatus): string {
  const name = interfaceKind === InterfaceKind.USERSPACE ? "userspace network stack" : interfaceName;
  return `${name}, UDP port ${listenPort}, MTU ${mtu}`;
}

function dnsField(dns: DnsStatus | undefined): [string, string][] {
  if (!dns) return [];
  if (dns.error) return [["names", `not answered: ${dns.error}`]];
  return dns.listen ? [["names", `${dns.domain} at ${endpointText(dns.listen)}`]] : [];
}

function controllerText(status: AgentStatus, elapsedMs: number): string {
  const { controllerUrl, controller, controllerError, controllerSilenceMs } = status;
  const silence = controllerSilenceMs === undefined ? "" : `, heard ${older(controllerSilenceMs, elapsedMs)} ago`;
  const why = controller === ControllerState.CONNECTED || !controllerError ? "" : `: ${controllerError}`;
  return `${controllerUrl} ${word(ControllerStateSchema.value[controller]?.localName)}${silence}${why}`;
}

/** Always with an age: of the newest head that came, or of its issue when none came since the agent started. */
function mapText({ engine, headAgeMs }: AgentStatus, nowMs: number, elapsedMs: number): string {
  const map = engine?.map;
  if (!map || map.revision === 0n) return "none yet";
  const issued = `issued ${ago(map.headIssuedAt, nowMs) || "at an unknown time"}`;
  const came = headAgeMs === undefined ? "no head since the agent started" : `head ${older(headAgeMs, elapsedMs)} ago`;
  return `revision ${map.epoch}.${map.revision}, ${came}, ${issued}${map.stale ? ", STALE" : ""}`;
}

function certificateText({ certificateNotAfter }: AgentStatus, nowMs: number): string {
  return certificateNotAfter ? `ends ${ago(certificateNotAfter, nowMs)}` : "none that can be used";
}

function versionsText({ version, engineVersion, controllerVersion }: AgentStatus): string {
  return [
    `agent ${version}`,
    ...(engineVersion ? [`engine ${engineVersion}`] : []),
    ...(controllerVersion ? [`controller ${controllerVersion}`] : []),
  ].join(", ");
}

function peersText({ engine, peers }: AgentStatus, elapsedMs: number): string {
  if (!engine || engine.peers.length === 0) return "";
  const summaries = new Map(peers.map((summary) => [summary.nodeId, summary]));
  return table(
    ["PEER", "STATE", "ADDRESSES", "ENDPOINT", "PATH MTU", "HANDSHAKE", "RECEIVED", "SENT"],
    [...engine.peers]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((peer) => {
        const summary = summaries.get(peer.nodeId);
        const age = summary?.handshakeAgeMs;
        return [
          peer.name,
          word(PeerStateSchema.value[summary?.state ?? PeerState.UNSPECIFIED]?.localName),
          peer.addresses.map(({ address }) => formatAddress(address)).join(" "),
          peer.endpoint ? endpointText(peer.endpoint) : "",
          pathMtuText(peer),
          age === undefined ? "" : `${older(age, elapsedMs)} ago`,
          size(peer.bytesReceived),
          size(peer.bytesSent),
        ];
      }),
  );
}

function problemsText({ problems }: AgentStatus): string {
  if (problems.length === 0) return "";
  const lines = problems.map(
    ({ part, message, remedy }) => `  ${part}: ${printable(message)}${remedy && `; ${printable(remedy)}`}\n`,
  );
  return ["problems:\n", ...lines].join("");
}

function older(ageMs: bigint, elapsedMs: number): string {
  return span(Number(ageMs) + elapsedMs);
}
