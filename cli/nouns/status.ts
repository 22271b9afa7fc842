import type { Command } from "commander";
import {
  AgentState,
  AgentStateSchema,
  type AgentStatus,
  AgentStatusSchema,
  ControllerStateSchema,
} from "@cloudvlan/gen/agent/v1/agent_pb.js";
import type { PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { formatAddress } from "@cloudvlan/kit/net";
import { create } from "@bufbuild/protobuf";
import { localAgent } from "../agent-client.ts";
import { local, show } from "../command.ts";
import type { Io } from "../io.ts";
import { ago, fields, printable, size, table, word } from "../print.ts";

/** `cvlan status` */
export function statusCommand(program: Command, io: Io): void {
  program
    .command("status")
    .description("this machine's node: network, addresses, peers, and what is wrong")
    .addHelpText("after", "\nExample:\n  cvlan status --json | jq .engine.peers\n")
    .action(
      local(io, async (run) => {
        using agent = localAgent(run.options);
        const { status } = await agent.client.getStatus({}, { signal: io.signal });
        const known = status ?? create(AgentStatusSchema);
        show(run, AgentStatusSchema, known, () => statusText(known, io.clock.nowMs()));
      }),
    );
}

/** The status as people read it. */
export function statusText(status: AgentStatus, nowMs: number): string {
  return [headText(status, nowMs), peersText(status.engine?.peers ?? [], nowMs), problemsText(status)]
    .filter((part) => part !== "")
    .join("\n");
}

function headText(status: AgentStatus, nowMs: number): string {
  const state = word(AgentStateSchema.value[status.state]?.localName);
  if (status.state === AgentState.UNENROLLED) {
    return fields([
      ["state", `${state}; pipe a join string into \`cvlan join\``],
      ["agent", status.version],
    ]);
  }
  const { engine } = status;
  const controller = word(ControllerStateSchema.value[status.controller]?.localName);
  return fields([
    ["name", status.name],
    ["network", status.cvlanName || status.cvlanId],
    ["state", state],
    ["addresses", (engine?.addresses ?? []).map(({ address }) => formatAddress(address)).join(" ")],
    [
      "interface",
      engine ? `${engine.interfaceName}, UDP port ${engine.listenPort}, MTU ${engine.mtu}` : "engine not running",
    ],
    ["controller", `${status.controllerUrl} ${controller}${status.controllerError && `: ${status.controllerError}`}`],
    ["map", mapText(status, nowMs)],
    ["certificate", `ends ${ago(status.certificateNotAfter, nowMs)}`],
    ["agent", status.version],
  ]);
}

function mapText({ engine }: AgentStatus, nowMs: number): string {
  const map = engine?.map;
  if (!map || map.revision === 0n) return "none yet";
  return `revision ${map.epoch}.${map.revision}, head ${ago(map.headIssuedAt, nowMs)}${map.stale ? ", STALE" : ""}`;
}

function peersText(peers: readonly PeerStatus[], nowMs: number): string {
  if (peers.length === 0) return "";
  return table(
    ["PEER", "ADDRESS", "ENDPOINT", "HANDSHAKE", "RECEIVED", "SENT"],
    [...peers]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((peer) => [
        peer.name,
        peer.addresses[0] ? formatAddress(peer.addresses[0].address) : "",
        peer.endpoint ? endpointText(peer.endpoint) : "",
        ago(peer.latestHandshakeAt, nowMs),
        size(peer.bytesReceived),
        size(peer.bytesSent),
      ]),
  );
}

function problemsText({ problems }: AgentStatus): string {
  if (problems.length === 0) return "";
  const lines = problems.map(
    ({ part, message, remedy }) => `  ${part}: ${printable(message)}${remedy && `; ${printable(remedy)}`}\n`,
  );
  return ["problems:\n", ...lines].join("");
}

function endpointText({ address, port }: { address: string; port: number }): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
