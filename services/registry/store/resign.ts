import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import { isSignedByOther } from "@cloudvlan/kit/delegation";
import type { SigningKey } from "@cloudvlan/kit/sign";
import { and, asc, count, eq, gt } from "drizzle-orm";
import { cvlanDns, cvlanRelayMaps, nodes } from "../schema.ts";
import type { NodeRow } from "./nodes.ts";

/** Nodes on maps: only their records are looked at again. */
function ofOthers(tenantId: string, { keyId }: SigningKey) {
  return and(eq(nodes.tenantId, tenantId), eq(nodes.status, NodeStatus.ACTIVE), isSignedByOther(nodes.record, keyId));
}

/** The next active nodes whose record another key signed, locked, without those that somebody else has locked. */
export async function nodesSignedByOthers(
  tx: Tx,
  tenantId: string,
  key: SigningKey,
  after: string,
  limit: number,
): Promise<NodeRow[]> {
  return tx
    .select()
    .from(nodes)
    .where(and(ofOthers(tenantId, key), gt(nodes.id, after)))
    .orderBy(asc(nodes.id))
    .limit(limit)
    .for("update", { skipLocked: true });
}

/** Cvlans whose DNS record another key signed. */
export async function dnsSignedByOthers(tx: Tx, tenantId: string, { keyId }: SigningKey): Promise<string[]> {
  const rows = await tx
    .select({ cvlanId: cvlanDns.cvlanId })
    .from(cvlanDns)
    .where(and(eq(cvlanDns.tenantId, tenantId), isSignedByOther(cvlanDns.record, keyId)))
    .orderBy(asc(cvlanDns.cvlanId));
  return rows.map(({ cvlanId }) => cvlanId);
}

/** Cvlans whose relay map another key signed. */
export async function relayMapsSignedByOthers(tx: Tx, tenantId: string, { keyId }: SigningKey): Promise<string[]> {
  const rows = await tx
    .select({ cvlanId: cvlanRelayMaps.cvlanId })
    .from(cvlanRelayMaps)
    .where(and(eq(cvlanRelayMaps.tenantId, tenantId), isSignedByOther(cvlanRelayMaps.record, keyId)))
    .orderBy(asc(cvlanRelayMaps.cvlanId));
  return rows.map(({ cvlanId }) => cvlanId);
}

/** Records of all kinds that another key signed. */
export async function countSignedByOthers(tx: Tx, tenantId: string, key: SigningKey): Promise<number> {
  const [ofNodes] = await tx.select({ left: count() }).from(nodes).where(ofOthers(tenantId, key));
  const dns = await dnsSignedByOthers(tx, tenantId, key);
  const relayMaps = await relayMapsSignedByOthers(tx, tenantId, key);
  return (ofNodes?.left ?? 0) + dns.length + relayMaps.length;
}
