import type { Tx } from "@cloudvlan/kit/db";
import { and, eq, sql } from "drizzle-orm";
import { cvlanRelayMaps, relayRevisions } from "../schema.ts";
import type { Seals } from "../seals.ts";
import { brokenRecord } from "./dns.ts";

export type RelayMapRow = typeof cvlanRelayMaps.$inferSelect;

const SLOT = 1;

/** Counts what relay maps are made of; 0 before the first server. */
export async function relayRevision(tx: Tx): Promise<bigint> {
  const [row] = await tx.select().from(relayRevisions);
  return row?.revision ?? 0n;
}

/** Lets nobody else change what relay maps are made of until the transaction ends. To be asked for after regions are locked. */
export async function lockRelayRevision(tx: Tx): Promise<void> {
  await tx
    .insert(relayRevisions)
    .values({ slot: SLOT, revision: 0n })
    .onConflictDoUpdate({ target: [relayRevisions.slot], set: { revision: sql`${relayRevisions.revision}` } });
}

/** Has every cvlan told what relay maps are made of now. The revision is locked. */
export async function raiseRelayRevision(tx: Tx): Promise<void> {
  await tx.update(relayRevisions).set({ revision: sql`${relayRevisions.revision} + 1` });
}

/**
 * The row of a cvlan, locked; undefined before its first record.
 * @throws Refusal `not_found` when the row is not this service's.
 */
export async function lockRelayMap(
  tx: Tx,
  seals: Seals,
  tenantId: string,
  cvlanId: string,
): Promise<RelayMapRow | undefined> {
  const [stored] = await tx
    .select()
    .from(cvlanRelayMaps)
    .where(and(eq(cvlanRelayMaps.tenantId, tenantId), eq(cvlanRelayMaps.cvlanId, cvlanId)))
    .for("update");
  const row = seals.open("cvlan_relay_map", stored);
  if (stored && !row) throw brokenRecord("SEAL_BROKEN");
  return row;
}

/** Stores a row in place of the former one. */
export async function putRelayMap(tx: Tx, seals: Seals, relayMap: Omit<RelayMapRow, "seal">): Promise<void> {
  const row = seals.seal("cvlan_relay_map", relayMap);
  const { record, recordRevision, seal } = row;
  await tx
    .insert(cvlanRelayMaps)
    .values(row)
    .onConflictDoUpdate({ target: [cvlanRelayMaps.cvlanId], set: { record, recordRevision, seal } });
}
