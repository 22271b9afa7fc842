import type { NodeId, TenantId } from "@cloudvlan/kit/ids";
import { formatSpiffe } from "@cloudvlan/kit/pki";

/** Subject of a node in denials: its SPIFFE id. */
export function nodeSubject(clusterId: string, tenantId: TenantId, nodeId: NodeId): string {
  return formatSpiffe({ trustDomain: clusterId, kind: "node", tenantId, nodeId });
}

/**
 * The instant before which credentials of a denied identity are refused, milliseconds since the Unix epoch: the end of
 * what a timestamp can say. Its id is never given out again, and a credential bears the time of another host's clock, or
 * of this one before it was set back: no instant of now is sure to lie behind all of them.
 */
export const DENIED_BEFORE_MS = Date.UTC(9999, 11, 31);
