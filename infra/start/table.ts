import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { AgentStatus } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import type { PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Prefix } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { formatAddress } from "@cloudvlan/kit/net";

const HEADER = ["machine", "overlay", "peer", "path", "handshake", "sent", "received"];

/** The addresses of prefixes, as text. */
export function addressesOf(prefixes: readonly Prefix[]): string[] {
  return prefixes.map(({ address }) => formatAddress(address));
}

function bytes(count: bigint): string {
  return count < 10_240n ? `${count} B` : `${count / 1024n} KiB`;
}

function pathOf({ endpoint }: PeerStatus): string {
  return endpoint ? `direct, ${endpoint.address}:${endpoint.port}` : "none yet";
}

function rowsOf(status: AgentStatus, nowMs: number): string[][] {
  const own = status.engine ? addressesOf(status.engine.addresses) : [];
  return (status.engine?.peers ?? []).map((peer) => {
    const handshake = peer.latestHandshakeAt;
    const age = handshake ? `${Math.max(0, Math.round((nowMs - timestampMs(handshake)) / 1000))} s ago` : "never";
    return [status.name, own[0] ?? "", peer.name, pathOf(peer), age, bytes(peer.bytesSent), bytes(peer.bytesReceived)];
  });
}

/** A line for each pair of a machine and a peer it sees. */
export function tableOf(statuses: readonly AgentStatus[], nowMs: number): string[] {
  const rows = [HEADER, ...statuses.flatMap((status) => rowsOf(status, nowMs))];
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
