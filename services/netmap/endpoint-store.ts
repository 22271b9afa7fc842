import type { Tx } from "@cloudvlan/kit/db";
import { and, asc, eq, gt, sql } from "drizzle-orm";
import type { Scope } from "./domain/scope.ts";
import { endpoints, endpointSequences } from "./schema.ts";

/** Channel on which workers tell each other of endpoint reports; the payload is `<tenant id> <cvlan id>`. */
export const REPORTS = "netmap_reports";

export type StoredEndpoint = typeof endpoints.$inferSelect;

/** Reports after a sequence number, oldest first. */
export async function readEndpoints(tx: Tx, { tenantId, cvlanId }: Scope, since: bigint): Promise<StoredEndpoint[]> {
  return tx
    .select()
    .from(endpoints)
    .where(and(eq(endpoints.tenantId, tenantId), eq(endpoints.cvlanId, cvlanId), gt(endpoints.sequence, since)))
    .orderBy(asc(endpoints.sequence));
}

/** The report of one node. */
export async function readEndpoint(
  tx: Tx,
  { tenantId, cvlanId }: Scope,
  nodeId: string,
): Promise<StoredEndpoint | undefined> {
  const [row] = await tx
    .select()
    .from(endpoints)
    .where(and(eq(endpoints.tenantId, tenantId), eq(endpoints.cvlanId, cvlanId), eq(endpoints.nodeId, nodeId)));
  return row;
}

/** Keeps a report in place of the node's former one, and wakes the workers. */
export async function writeEndpoint(
  tx: Tx,
  scope: Scope,
  nodeId: string,
  hint: Uint8Array,
  expiresAt: Date,
): Promise<void> {
  const [counter] = await tx
    .insert(endpointSequences)
    .values({ ...scope, sequence: 1n })
    .onConflictDoUpdate({
      target: [endpointSequences.tenantId, endpointSequences.cvlanId],
      set: { sequence: sql`${endpointSequences.sequence} + 1` },
    })
    .returning();
  if (!counter) throw new Error("the endpoint sequence did not answer");
  const { sequence } = counter;
  await tx
    .insert(endpoints)
    .values({ ...scope, nodeId, sequence, hint, expiresAt })
    .onConflictDoUpdate({
      target: [endpoints.tenantId, endpoints.cvlanId, endpoints.nodeId],
      set: { sequence, hint, expiresAt },
    });
  await tx.execute(sql`select pg_notify(${REPORTS}, ${`${scope.tenantId} ${scope.cvlanId}`})`);
}
