import type { PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { CapturedPacket } from "@cloudvlan/test/lab";

const WIREGUARD_DATA = 4;

/** What both engines and the router's wire must show. */
export interface Evidence {
  /** Underlay addresses of the two hosts. */
  readonly underlay: readonly [string, string];
  /** Overlay addresses of both, as text. */
  readonly overlay: readonly string[];
  /** What each engine says of the other, before and after the pings. */
  readonly engines: readonly { readonly name: string; readonly before: PeerStatus; readonly after: PeerStatus }[];
  readonly packets: readonly CapturedPacket[];
  /** Pings that were answered in between. */
  readonly pings: number;
}

/**
 * Why the evidence does not show an encrypted overlay; empty when it does: both engines' counters of sealed bytes grew,
 * between the hosts the wire has WireGuard messages alone, and no packet on it bears an overlay address.
 */
export function doubtsAbout({ underlay, overlay, engines, packets, pings }: Evidence): string[] {
  const doubts: string[] = [];
  if (pings === 0) doubts.push("no ping was answered");
  for (const { name, before, after } of engines) {
    if (after.bytesSent <= before.bytesSent) doubts.push(`the engine of ${name} counts no sealed bytes sent`);
    if (after.bytesReceived <= before.bytesReceived)
      doubts.push(`the engine of ${name} counts no sealed bytes received`);
  }
  const [a, b] = underlay;
  for (const [from, to] of [
    [a, b],
    [b, a],
  ]) {
    const between = packets.filter(({ src, dst }) => src === from && dst === to);
    const sealed = between.filter(({ wg_type: type }) => type === WIREGUARD_DATA).length;
    if (sealed < pings) doubts.push(`the router saw ${sealed} sealed packets from ${from} to ${to} for ${pings} pings`);
    const bare = between.find(({ wg_type: type }) => type === null);
    if (bare)
      doubts.push(
        `the router saw a packet from ${from} to ${to} that is no WireGuard message (protocol ${bare.proto})`,
      );
  }
  const leaked = packets.find(({ src, dst }) => overlay.includes(src ?? "") || overlay.includes(dst ?? ""));
  if (leaked) doubts.push(`the router saw a packet in clear from ${leaked.src} to ${leaked.dst}`);
  return doubts;
}
