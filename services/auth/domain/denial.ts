import type { NodeId, TenantId } from "@cloudvlan/kit/ids";
import { formatSpiffe } from "@cloudvlan/kit/pki";

/** Subject of a node in denials: its SPIFFE id. */
export function nodeSubject(clusterId: string, tenantId: TenantId, nodeId: NodeId): string {
  return formatSpiffe({ trustDomain: clusterId, kind: "node", tenantId, nodeId });
}

/**
 * The instant before which credentials are refused, milliseconds since the Unix epoch: the next whole second, since
 * certificates count whole seconds and one issued in this very second must be refused too.
 */
export function deniedBefore(nowMs: number): number {
  return (Math.floor(nowMs / 1000) + 1) * 1000;
}
