import type { Tx } from "@cloudvlan/kit/db";
import { and, asc, eq } from "drizzle-orm";
import { nodes, pendingDenials } from "../schema.ts";
import type { NodeRow } from "./nodes.ts";

/** Notes that a node is revoked here and auth is still to be told. */
export async function addPendingDenial(tx: Tx, node: NodeRow, since: Date): Promise<void> {
  await tx.insert(pendingDenials).values({ nodeId: node.id, owner: node.tenantId, since }).onConflictDoNothing();
}

/** Oldest first, past the first `skip`; of every tenant when in a platform transaction. */
export async function listPendingDenials(
  tx: Tx,
  limit: number,
  skip: number,
): Promise<{ nodeId: string; owner: string }[]> {
  return tx
    .select({ nodeId: pendingDenials.nodeId, owner: pendingDenials.owner })
    .from(pendingDenials)
    .orderBy(asc(pendingDenials.since), asc(pendingDenials.nodeId))
    .limit(limit)
    .offset(skip);
}

export async function removePendingDenial(tx: Tx, nodeId: string): Promise<void> {
  await tx.delete(pendingDenials).where(eq(pendingDenials.nodeId, nodeId));
}

/** True when a node of the cvlan is revoked and auth does not know yet. */
export async function hasPendingDenial(tx: Tx, tenantId: string, cvlanId: string): Promise<boolean> {
  const found = await tx
    .select({ id: nodes.id })
    .from(nodes)
    .innerJoin(pendingDenials, eq(pendingDenials.nodeId, nodes.id))
    .where(and(eq(nodes.tenantId, tenantId), eq(nodes.cvlanId, cvlanId)))
    .limit(1);
  return found.length > 0;
}
