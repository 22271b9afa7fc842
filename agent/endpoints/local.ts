import type { NetworkInterfaceInfo } from "node:os";
import type { Prefix } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { contains, parseAddress, specialUse, type SpecialUse } from "@cloudvlan/kit/net";

/** The controller takes no more. */
export const MAX_ENDPOINTS = 16;

/** At addresses of these uses no other machine reaches this one. */
const UNUSABLE: ReadonlySet<SpecialUse | undefined> = new Set<SpecialUse>([
  "unspecified",
  "loopback",
  "link-local",
  "multicast",
]);

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
  const addresses = Object.entries(interfaces)
    .filter(([name]) => name !== own)
    .flatMap(([, infos]) => infos ?? [])
    .filter(({ address, internal }) => !internal && isUsable(address, overlay))
    .map(({ address }) => address);
  const unique = [...new Set(addresses)].sort();
  const v4 = unique.filter((address) => !address.includes(":"));
  const v6 = unique.filter((address) => address.includes(":"));
  const v4Places = Math.max(MAX_ENDPOINTS / 2, MAX_ENDPOINTS - v6.length);
  const chosen = [...v4.slice(0, v4Places), ...v6];
  return chosen.slice(0, MAX_ENDPOINTS).map((address) => ({ address, port }));
}

function isUsable(text: string, overlay: readonly Prefix[]): boolean {
  const address = parseAddress(text);
  return (
    address !== undefined && !UNUSABLE.has(specialUse(address)) && !overlay.some((prefix) => contains(prefix, address))
  );
}
