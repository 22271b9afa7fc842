import type { Tx } from "@cloudvlan/kit/db";
import { and, asc, eq, gt, inArray, lt, sql } from "drizzle-orm";
import { fanOuts, publications, relayRevisions } from "../schema.ts";

/** Channel on which workers tell each other that cvlans are to be published. */
export const PUBLICATIONS = "registry_publications";

export async function wakePublishers(tx: Tx): Promise<void> {
  await tx.execute(sql`select pg_notify(${PUBLICATIONS}, '')`);
}

/** A cvlan on a list, and its tenant. */
export interface Due {
  readonly cvlanId: string;
  readonly owner: string;
}

/** Cvlans that are due, in a fixed order, past the first `skip`; of every tenant when in a platform transaction. */
export async function listDue(tx: Tx, limit: number, skip: number): Promise<Due[]> {
  return tx
    .select({ cvlanId: publications.cvlanId, owner: publications.owner })
    .from(publications)
    .where(eq(publications.due, true))
    .orderBy(asc(publications.cvlanId))
    .limit(limit)
    .offset(skip);
}

/**
 * Takes a cvlan off the list, before anything of it is read: who changes it afterwards puts it on again.
 * @returns false when it was not on the list, or is gone.
 */
export async function takeDue(tx: Tx, cvlanId: string): Promise<boolean> {
  const taken = await tx
    .update(publications)
    .set({ due: false })
    .where(and(eq(publications.cvlanId, cvlanId), eq(publications.due, true)))
    .returning({ id: publications.cvlanId });
  return taken.length > 0;
}

/** Cvlans that were told an older relay map, in a fixed order, past the first `skip`. */
export async function listRelayDue(tx: Tx, limit: number, skip: number): Promise<Due[]> {
  const current = tx.select({ revision: relayRevisions.revision }).from(relayRevisions);
  return tx
    .select({ cvlanId: publications.cvlanId, owner: publications.owner })
    .from(publications)
    .where(lt(publications.relayRevision, current))
    .orderBy(asc(publications.relayRevision), asc(publications.cvlanId))
    .limit(limit)
    .offset(skip);
}

/**
 * Writes down that a cvlan is told the relay map of a revision, before anything of that is read: of two workers one waits for
 * the other, and what changes afterwards has another revision.
 * @returns false when it was told that or a newer one, or is gone.
 */
export async function takeRelayDue(tx: Tx, cvlanId: string, relayRevision: bigint): Promise<boolean> {
  const taken = await tx
    .update(publications)
    .set({ relayRevision })
    .where(and(eq(publications.cvlanId, cvlanId), lt(publications.relayRevision, relayRevision)))
    .returning({ id: publications.cvlanId });
  return taken.length > 0;
}

/** Has every cvlan of a tenant, or of the cluster, published again. */
export async function startFanOut(tx: Tx, owner: string): Promise<void> {
  await tx
    .insert(fanOuts)
    .values({ owner, cursor: "" })
    .onConflictDoUpdate({ target: [fanOuts.owner], set: { cursor: "" } });
}

/** Puts the next cvlans that a change concerns on the list. @returns false when no change is left. */
export async function continueFanOut(tx: Tx, limit: number): Promise<boolean> {
  const [change] = await tx.select().from(fanOuts).orderBy(asc(fanOuts.owner)).limit(1).for("update");
  if (!change) return false;
  const ofOwner = eq(fanOuts.owner, change.owner);
  const next = await tx
    .select({ cvlanId: publications.cvlanId })
    .from(publications)
    .where(
      and(
        change.owner === "" ? undefined : eq(publications.owner, change.owner),
        gt(publications.cvlanId, change.cursor),
      ),
    )
    .orderBy(asc(publications.cvlanId))
    .limit(limit);
  const ids = next.map(({ cvlanId }) => cvlanId);
  if (ids.length > 0) await tx.update(publications).set({ due: true }).where(inArray(publications.cvlanId, ids));
  const last = ids.at(-1);
  if (last === undefined || ids.length < limit) await tx.delete(fanOuts).where(ofOwner);
  else await tx.update(fanOuts).set({ cursor: last }).where(ofOwner);
  return true;
}
