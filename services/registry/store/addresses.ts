import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { and, asc, eq, lte } from "drizzle-orm";
import { lastHost, poolsOf } from "../domain/pool.ts";
import { addresses, addressPools } from "../schema.ts";
import type { Seals } from "../seals.ts";
import type { CvlanRow } from "./cvlans.ts";

/** A host number for a node of the cvlan, and what to store. */
export interface Allocation {
  readonly host: bigint;
  hold(nodeId: string): Promise<void>;
}

/**
 * Takes the lowest host number that was never used, then the one that was freed longest ago and is past its quarantine.
 * Holds the pool's row until the end of the transaction, so that nobody else takes the same.
 * @param freedBefore only addresses freed until then may be used again.
 * @throws Refusal `exhausted` naming the pool.
 */
export async function allocate(tx: Tx, seals: Seals, cvlan: CvlanRow, freedBefore: Date): Promise<Allocation> {
  const { tenantId, id: cvlanId } = cvlan;
  const ofPool = and(eq(addressPools.tenantId, tenantId), eq(addressPools.cvlanId, cvlanId));
  const [stored] = await tx.select().from(addressPools).where(ofPool).for("update");
  const pool = seals.open("address_pool", stored);
  if (!pool) throw new Error(`the address pool of ${cvlanId} was not written by this service`);

  const [ipv4] = poolsOf(cvlan);
  if (pool.nextHost <= lastHost(ipv4)) {
    const host = pool.nextHost;
    await tx
      .update(addressPools)
      .set(seals.seal("address_pool", { ...pool, nextHost: host + 1n }))
      .where(ofPool);
    return {
      host,
      hold: async (nodeId) => {
        await tx.insert(addresses).values(seals.seal("address", { tenantId, cvlanId, host, nodeId, releasedAt: null }));
      },
    };
  }

  const freed = await tx
    .select()
    .from(addresses)
    .where(
      and(eq(addresses.tenantId, tenantId), eq(addresses.cvlanId, cvlanId), lte(addresses.releasedAt, freedBefore)),
    )
    .orderBy(asc(addresses.releasedAt), asc(addresses.host))
    .limit(FREED_TRIED);
  const usable = freed.find((row) => seals.open("address", row));
  if (!usable) {
    throw new Refusal(
      "exhausted",
      "POOL_EXHAUSTED",
      `the pool ${cvlan.ipv4Pool} of cvlan ${cvlan.name} has no free address`,
      {
        objectId: cvlanId,
        remedy:
          "revoke nodes that are gone and wait for the quarantine of their addresses, or use a cvlan with a larger pool",
      },
    );
  }
  return {
    host: usable.host,
    hold: async (nodeId) => {
      await tx
        .update(addresses)
        .set(seals.seal("address", { ...usable, nodeId, releasedAt: null }))
        .where(ofAddress(usable));
    },
  };
}

/** Rows looked at, so that a few that somebody put there by hand do not hide the good ones. */
const FREED_TRIED = 32;

function ofAddress(row: { tenantId: string; cvlanId: string; host: bigint }) {
  return and(eq(addresses.tenantId, row.tenantId), eq(addresses.cvlanId, row.cvlanId), eq(addresses.host, row.host));
}

/** Starts the quarantine of a node's address. */
export async function release(
  tx: Tx,
  seals: Seals,
  node: { tenantId: string; cvlanId: string; host: bigint; id: string },
  releasedAt: Date,
): Promise<void> {
  const { tenantId, cvlanId, host, id: nodeId } = node;
  await tx
    .update(addresses)
    .set(seals.seal("address", { tenantId, cvlanId, host, nodeId, releasedAt }))
    .where(and(ofAddress(node), eq(addresses.nodeId, nodeId)));
}
