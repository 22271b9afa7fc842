import { randomBytes, randomInt } from "node:crypto";
import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { formatPrefix } from "@cloudvlan/kit/net";
import { and, asc, count, eq, gt, isNull } from "drizzle-orm";
import { cvlanPrefix } from "../domain/pool.ts";
import { addresses, addressPools, cvlans, installations, nodes } from "../schema.ts";
import type { Seals } from "../seals.ts";
import type { Page } from "@cloudvlan/kit/page";

export type CvlanRow = typeof cvlans.$inferSelect;

/** A cvlan as it is asked for; the IPv6 prefix is chosen when it is stored. */
export type NewCvlan = Omit<CvlanRow, "ipv6Prefix" | "seal">;

const SUBNETS = 2 ** 16;
/** Random subnets tried: with nine in ten taken, one of these is free all but surely. */
const SUBNET_TRIES = 200;

/** @throws Refusal `exists` when the tenant has a cvlan of that name, `exhausted` when no /64 was found. */
export async function insertCvlan(tx: Tx, seals: Seals, cvlan: NewCvlan): Promise<CvlanRow> {
  const [named] = await tx
    .select({ id: cvlans.id })
    .from(cvlans)
    .where(and(eq(cvlans.tenantId, cvlan.tenantId), eq(cvlans.name, cvlan.name)));
  if (named) throw nameTaken(cvlan.name);
  const ula = await ulaPrefix(tx, seals);
  for (let tried = 0; tried < SUBNET_TRIES; tried++) {
    // Which subnets other tenants have cannot be seen from here, only run into.
    const ipv6Prefix = formatPrefix(cvlanPrefix(ula, randomInt(SUBNETS)));
    const row = seals.seal("cvlan", { ...cvlan, ipv6Prefix });
    const inserted = await tx
      .insert(cvlans)
      .values(row)
      .onConflictDoNothing({ target: [cvlans.ipv6Prefix] })
      .returning({ id: cvlans.id });
    if (inserted.length === 0) continue;
    const pool = seals.seal("address_pool", { tenantId: cvlan.tenantId, cvlanId: cvlan.id, nextHost: 1n });
    await tx.insert(addressPools).values(pool);
    return row;
  }
  throw new Refusal("exhausted", "SUBNETS_EXHAUSTED", "the installation's /48 has no free /64 left", {
    remedy: "delete cvlans that are not used",
  });
}

export function nameTaken(name: string): Refusal {
  return new Refusal("exists", "CVLAN_NAME_TAKEN", `the tenant has a cvlan named ${name}`, {
    field: "name",
    remedy: "choose another name",
  });
}

/** The installation's /48, made at first use. */
async function ulaPrefix(tx: Tx, seals: Seals): Promise<Uint8Array> {
  const random = Uint8Array.of(0xfd, ...randomBytes(5));
  await tx
    .insert(installations)
    .values(seals.seal("installation", { slot: 1, ulaPrefix: random }))
    .onConflictDoNothing();
  const [stored] = await tx.select().from(installations);
  const row = seals.open("installation", stored);
  if (!row) throw new Error("the installation's address prefix was not written by this service");
  return row.ulaPrefix;
}

/**
 * @param lock keeps nodes, groups and tokens from being added until the end of the transaction.
 * @throws Refusal `not_found` when the tenant has no such cvlan, or its row is not this service's.
 */
export async function requireCvlan(
  tx: Tx,
  seals: Seals,
  tenantId: string,
  cvlanId: string,
  lock?: "update",
): Promise<CvlanRow> {
  const select = tx
    .select()
    .from(cvlans)
    .where(and(eq(cvlans.tenantId, tenantId), eq(cvlans.id, cvlanId)));
  const [stored] = await (lock ? select.for(lock) : select);
  const row = seals.open("cvlan", stored);
  if (row) return row;
  throw new Refusal("not_found", "CVLAN_NOT_FOUND", "there is no such cvlan", {
    field: "cvlan_id",
    remedy: "list the tenant's cvlans",
    auditReason: stored ? "SEAL_BROKEN" : "CVLAN_NOT_FOUND",
  });
}

/** Replaces a row; its tenant and id stay. */
export async function updateCvlan(tx: Tx, seals: Seals, cvlan: CvlanRow): Promise<CvlanRow> {
  const row = seals.seal("cvlan", cvlan);
  await tx
    .update(cvlans)
    .set(row)
    .where(and(eq(cvlans.tenantId, row.tenantId), eq(cvlans.id, row.id)));
  return row;
}

/** Rows as they stand, one more than the page holds. */
export async function listCvlans(tx: Tx, tenantId: string, page: Page): Promise<CvlanRow[]> {
  return tx
    .select()
    .from(cvlans)
    .where(and(eq(cvlans.tenantId, tenantId), gt(cvlans.id, page.after)))
    .orderBy(asc(cvlans.id))
    .limit(page.size + 1);
}

/** True when the tenant has any cvlan, that is, is known here. */
export async function hasCvlan(tx: Tx, tenantId: string): Promise<boolean> {
  const found = await tx.select({ id: cvlans.id }).from(cvlans).where(eq(cvlans.tenantId, tenantId)).limit(1);
  return found.length > 0;
}

/** Ids of every cvlan of the tenant. */
export async function allCvlans(tx: Tx, tenantId: string): Promise<string[]> {
  const rows = await tx.select({ id: cvlans.id }).from(cvlans).where(eq(cvlans.tenantId, tenantId));
  return rows.map(({ id }) => id);
}

export async function deleteCvlan(tx: Tx, tenantId: string, cvlanId: string): Promise<void> {
  await tx.delete(cvlans).where(and(eq(cvlans.tenantId, tenantId), eq(cvlans.id, cvlanId)));
}

/** Cvlans of a tenant, and members in all of them that are not revoked. */
export async function tenantUse(tx: Tx, tenantId: string): Promise<{ cvlans: number; nodes: number }> {
  const [own] = await tx.select({ n: count() }).from(cvlans).where(eq(cvlans.tenantId, tenantId));
  const [members] = await tx
    .select({ n: count() })
    .from(nodes)
    .where(and(eq(nodes.tenantId, tenantId), isNull(nodes.revokedAt)));
  return { cvlans: own?.n ?? 0, nodes: members?.n ?? 0 };
}

/** Members that are not revoked, and addresses they hold. */
export async function cvlanUse(
  tx: Tx,
  tenantId: string,
  cvlanId: string,
): Promise<{ nodes: number; addresses: number }> {
  const [members] = await tx
    .select({ n: count() })
    .from(nodes)
    .where(and(eq(nodes.tenantId, tenantId), eq(nodes.cvlanId, cvlanId), isNull(nodes.revokedAt)));
  const [held] = await tx
    .select({ n: count() })
    .from(addresses)
    .where(and(eq(addresses.tenantId, tenantId), eq(addresses.cvlanId, cvlanId), isNull(addresses.releasedAt)));
  return { nodes: members?.n ?? 0, addresses: held?.n ?? 0 };
}
