import type { Tx } from "@cloudvlan/kit/db";
import type { TenantId } from "@cloudvlan/kit/ids";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { and, asc, count, eq, gt, inArray, isNull, ne } from "drizzle-orm";
import type { Page } from "@cloudvlan/kit/page";
import { type ApiKeyRow, apiKeys, contextKeys, denials, rootTransitions, type TenantRow, tenants } from "./schema.ts";

export async function insertTenant(tx: Tx, row: TenantRow): Promise<void> {
  await tx.insert(tenants).values(row);
}

export async function findTenant(tx: Tx, id: TenantId): Promise<TenantRow | undefined> {
  const [row] = await tx.select().from(tenants).where(eq(tenants.id, id));
  return row;
}

/** Locks the row until the end of the transaction. */
export async function lockTenant(tx: Tx, id: TenantId): Promise<TenantRow | undefined> {
  const [row] = await tx.select().from(tenants).where(eq(tenants.id, id)).for("update");
  return row;
}

export async function findTenants(tx: Tx, ids: readonly TenantId[]): Promise<TenantRow[]> {
  return ids.length === 0
    ? []
    : tx
        .select()
        .from(tenants)
        .where(inArray(tenants.id, [...ids]));
}

/** Writes name and status, and what follows from them. */
export async function changeTenant(tx: Tx, row: TenantRow): Promise<void> {
  const { id, name, status, seal, revision, updatedAt } = row;
  await tx.update(tenants).set({ name, status, seal, revision, updatedAt }).where(eq(tenants.id, id));
}

/** One row more than the page's size, when there are that many. */
export async function listTenants(tx: Tx, page: Page, withDeleted: boolean): Promise<TenantRow[]> {
  const after = gt(tenants.id, page.after as TenantId);
  return tx
    .select()
    .from(tenants)
    .where(withDeleted ? after : and(after, ne(tenants.status, Status.DELETED)))
    .orderBy(asc(tenants.id))
    .limit(page.size + 1);
}

/** Replaces the keyset of the version before; false when another worker was faster. */
export async function replaceKeyset(tx: Tx, id: TenantId, version: bigint, keyset: Uint8Array): Promise<boolean> {
  const updated = await tx
    .update(tenants)
    .set({ keysetVersion: version, keyset })
    .where(and(eq(tenants.id, id), eq(tenants.keysetVersion, version - 1n)))
    .returning({ id: tenants.id });
  return updated.length === 1;
}

/**
 * Puts a new root key in the place of the former one, with the keyset that it signed and the transition to it.
 * @param formerSeal of the row that `row` was made from.
 * @returns false when the tenant was changed meanwhile.
 */
export async function replaceRoot(
  tx: Tx,
  row: TenantRow,
  formerSeal: Uint8Array,
  transition: { readonly sequence: bigint; readonly signed: Uint8Array },
): Promise<boolean> {
  const { id, rootPublicKey, rootSeed, seal, keysetVersion, keyset } = row;
  const updated = await tx
    .update(tenants)
    .set({ rootPublicKey, rootSeed, seal, keysetVersion, keyset })
    .where(and(eq(tenants.id, id), eq(tenants.keysetVersion, keysetVersion - 1n), eq(tenants.seal, formerSeal)))
    .returning({ id: tenants.id });
  if (updated.length !== 1) return false;
  await tx.insert(rootTransitions).values({ tenantId: id, ...transition });
  return true;
}

/** Oldest first; serialised `Signed`. */
export async function listRootTransitions(tx: Tx, tenantId: TenantId): Promise<Uint8Array[]> {
  const rows = await tx
    .select({ signed: rootTransitions.signed })
    .from(rootTransitions)
    .where(eq(rootTransitions.tenantId, tenantId))
    .orderBy(asc(rootTransitions.sequence));
  return rows.map(({ signed }) => signed);
}

export async function insertApiKey(tx: Tx, row: ApiKeyRow): Promise<void> {
  await tx.insert(apiKeys).values(row);
}

/** False when the platform has an owner's key already. */
export async function insertOwnerKey(tx: Tx, row: ApiKeyRow): Promise<boolean> {
  return (await tx.insert(apiKeys).values(row).onConflictDoNothing().returning({ id: apiKeys.id })).length === 1;
}

export async function findOwnerKey(tx: Tx): Promise<ApiKeyRow | undefined> {
  const [row] = await tx
    .select()
    .from(apiKeys)
    .where(and(isNull(apiKeys.tenantId), eq(apiKeys.owner, true)));
  return row;
}

function ofTenant(tenantId: TenantId | undefined) {
  return tenantId === undefined ? isNull(apiKeys.tenantId) : eq(apiKeys.tenantId, tenantId);
}

/** @param tenantId undefined for the platform. */
export async function findApiKey(tx: Tx, tenantId: TenantId | undefined, id: string): Promise<ApiKeyRow | undefined> {
  const [row] = await tx
    .select()
    .from(apiKeys)
    .where(and(ofTenant(tenantId), eq(apiKeys.id, id)));
  return row;
}

/** Locks the row until the end of the transaction. */
export async function lockApiKey(tx: Tx, tenantId: TenantId, id: string): Promise<ApiKeyRow | undefined> {
  const [row] = await tx
    .select()
    .from(apiKeys)
    .where(and(ofTenant(tenantId), eq(apiKeys.id, id)))
    .for("update");
  return row;
}

/** One row more than the page's size, when there are that many. */
export async function listApiKeys(tx: Tx, tenantId: TenantId, page: Page): Promise<ApiKeyRow[]> {
  return tx
    .select()
    .from(apiKeys)
    .where(and(ofTenant(tenantId), gt(apiKeys.id, page.after)))
    .orderBy(asc(apiKeys.id))
    .limit(page.size + 1);
}

export async function countLiveApiKeys(tx: Tx, tenantId: TenantId, now: Date): Promise<number> {
  const [row] = await tx
    .select({ keys: count() })
    .from(apiKeys)
    .where(and(ofTenant(tenantId), isNull(apiKeys.revokedAt), gt(apiKeys.expiresAt, now)));
  return row?.keys ?? 0;
}

export async function markRevoked(tx: Tx, row: ApiKeyRow): Promise<void> {
  const { revokedAt, seal } = row;
  await tx.update(apiKeys).set({ revokedAt, seal }).where(eq(apiKeys.id, row.id));
}

/** Revision at which the subject was denied; undefined when it is not. */
export async function findDenial(tx: Tx, subject: string): Promise<bigint | undefined> {
  const [row] = await tx.select({ revision: denials.revision }).from(denials).where(eq(denials.subject, subject));
  return row?.revision;
}

/** False when the subject is denied already; waits for a transaction that is about to deny it. */
export async function insertDenial(tx: Tx, subject: string, issuedBefore: Date, now: Date): Promise<boolean> {
  const made = await tx
    .insert(denials)
    .values({ subject, issuedBefore, revision: 0n, createdAt: now })
    .onConflictDoNothing()
    .returning({ subject: denials.subject });
  return made.length === 1;
}

export async function setDenialRevision(tx: Tx, subject: string, revision: bigint): Promise<void> {
  await tx.update(denials).set({ revision }).where(eq(denials.subject, subject));
}

/** The key in the one slot: the given one, unless another worker put its own there first. */
export async function keepContextKey(
  tx: Tx,
  made: { readonly keyId: string; readonly seed: Uint8Array; readonly createdAt: Date },
): Promise<{ readonly keyId: string; readonly seed: Uint8Array }> {
  await tx
    .insert(contextKeys)
    .values({ slot: 1, ...made })
    .onConflictDoNothing();
  const [kept] = await tx.select().from(contextKeys).where(eq(contextKeys.slot, 1));
  if (!kept) throw new Error("the slot of the context key is empty after it was filled");
  return kept;
}

export async function findContextKey(
  tx: Tx,
): Promise<{ readonly keyId: string; readonly seed: Uint8Array } | undefined> {
  const [kept] = await tx.select().from(contextKeys).where(eq(contextKeys.slot, 1));
  return kept;
}
