import type { PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { CapturedPacket } from "@cloudvlan/test/lab";

const WIREGUARD_DATA = 4;
/** Bytes of the smallest sealed echo: 28 of ICMP in IPv4, padded to 32, and 32 of WireGuard. */
const SEALED_ECHO = 64n;

/** What both engines and the router's wire must show. */
export interface Evidence {
  /** Underlay addresses of the two hosts. */
  readonly underlay: readonly [string, string];
  /** Overlay addresses of both, as text. */
  readonly overlay: readonly string[];
  /** What each engine says of the other. */
  readonly engines: readonly { readonly name: string; readonly peer: PeerStatus }[];
  /** All that passed the router since before the two knew each other. */
  readonly packets: readonly CapturedPacket[];
  /** Pings that were answered. */
  readonly pings: number;
}

/** True when an engine has counted the sealed bytes of that many pings to a peer, both ways. */
export function hasCounted({ bytesSent, bytesReceived }: PeerStatus, pings: number): boolean {
  const least = BigInt(pings) * SEALED_ECHO;
  return bytesSent >= least && bytesReceived >= least;
}

/**
 * Why the evidence does not show an encrypted overlay; empty when it does: both engines counted the sealed bytes of the
 * pings, between the hosts the wire has WireGuard messages alone, and no packet on it bears an overlay address.
 */
export function doubtsAbout({ underlay, overlay, engines, packets, pings }: Evidence): string[] {
  const doubts: string[] = [];
  if (pings === 0) doubts.push("no ping was answered");
  for (const { name, peer } of engines) {
    if (hasCounted(peer, pings)) continue;
    const counts = `${peer.bytesSent} sealed bytes sent and ${peer.bytesReceived} received`;
    doubts.push(`the engine of ${name} counts ${counts} for ${pings} pings`);
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
