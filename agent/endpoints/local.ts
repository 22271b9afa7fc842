import type { NetworkInterfaceInfo } from "node:os";
import { BlockList, isIP } from "node:net";
import type { Prefix } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { prefixSet } from "../host/prefix.ts";

/** The controller takes no more. */
export const MAX_ENDPOINTS = 16;

const UNUSABLE = new BlockList();
UNUSABLE.addSubnet("127.0.0.0", 8, "ipv4");
UNUSABLE.addSubnet("169.254.0.0", 16, "ipv4");
UNUSABLE.addSubnet("224.0.0.0", 4, "ipv4");
UNUSABLE.addSubnet("0.0.0.0", 8, "ipv4");
UNUSABLE.addAddress("::", "ipv6");
UNUSABLE.addAddress("::1", "ipv6");
UNUSABLE.addSubnet("fe80::", 10, "ipv6");
UNUSABLE.addSubnet("ff00::", 8, "ipv6");

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/**
 * Addresses of this host at which peers may reach the engine: none of the loopback, of a link, or of the overlay itself,
 * in which a packet of the tunnel would go into the tunnel.
 * @param interfaces as `os.networkInterfaces()` gives them.
 * @param own name of the engine's interface.
 * @param overlay addresses and routes of the overlay.
 * @param port the engine's UDP port.
 * @returns at most 16, sorted, so that equal hosts give equal answers; IPv4 and IPv6 share the places evenly.
 */
export function localEndpoints(
  interfaces: Readonly<Partial<Record<string, readonly NetworkInterfaceInfo[]>>>,
  own: string,
  overlay: readonly Prefix[],
  port: number,
): Endpoint[] {
  const inOverlay = prefixSet(overlay);
  const addresses = Object.entries(interfaces)
    .filter(([name]) => name !== own)
    .flatMap(([, infos]) => infos ?? [])
    .filter(({ address, internal }) => !internal && isUsable(address) && !inOverlay.contains(address))
    .map(({ address }) => address);
  const unique = [...new Set(addresses)].sort();
  const v4 = unique.filter((address) => isIP(address) === 4);
  const v6 = unique.filter((address) => isIP(address) === 6);
  const v4Places = Math.max(MAX_ENDPOINTS / 2, MAX_ENDPOINTS - v6.length);
  const chosen = [...v4.slice(0, v4Places), ...v6];
  return chosen.slice(0, MAX_ENDPOINTS).map((address) => ({ address, port }));
}

function isUsable(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && !UNUSABLE.check(address, family === 4 ? "ipv4" : "ipv6");
}
