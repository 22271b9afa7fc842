import { KeyRotationStage } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import type { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import type { TenantId } from "@cloudvlan/kit/ids";
import { requireSeal, sealOf } from "@cloudvlan/kit/keys";
import { and, asc, eq, getTableColumns, ne } from "drizzle-orm";
import { KEY_ROTATION_TABLE, keyRotationFields } from "./domain/seals.ts";
import { type KeyRotationRow, type KeyRotationState, keyRotations, retiredKeys, tenants } from "./schema.ts";
import type { AuthContext } from "./trusted.ts";

/** The latest replacement of a role's key, locked until the transaction ends. */
export async function lockRotation(
  ctx: AuthContext,
  tx: Tx,
  tenantId: TenantId,
  role: KeyRole,
): Promise<KeyRotationState | undefined> {
  const rows = await tx
    .select()
    .from(keyRotations)
    .where(and(eq(keyRotations.tenantId, tenantId), eq(keyRotations.role, role)))
    .for("update");
  return trusted(ctx, rows)[0];
}

export async function putRotation({ keys }: AuthContext, tx: Tx, state: KeyRotationState): Promise<void> {
  const row = { ...state, seal: sealOf(keys, KEY_ROTATION_TABLE, keyRotationFields(state)) };
  await tx
    .insert(keyRotations)
    .values(row)
    .onConflictDoUpdate({ target: [keyRotations.tenantId, keyRotations.role], set: row });
}

/** The latest of each role. */
export async function listRotations(ctx: AuthContext, tx: Tx, tenantId: TenantId): Promise<KeyRotationState[]> {
  const ofTenant = eq(keyRotations.tenantId, tenantId);
  return trusted(ctx, await tx.select().from(keyRotations).where(ofTenant).orderBy(asc(keyRotations.role)));
}

/** Those that are not done, of every tenant that is there, oldest first. */
export async function listUnfinished(ctx: AuthContext, tx: Tx, limit: number): Promise<KeyRotationState[]> {
  const rows = await tx
    .select(getTableColumns(keyRotations))
    .from(keyRotations)
    .innerJoin(tenants, eq(tenants.id, keyRotations.tenantId))
    .where(and(ne(keyRotations.stage, KeyRotationStage.DONE), ne(tenants.status, Status.DELETED)))
    .orderBy(asc(keyRotations.startedAt), asc(keyRotations.tenantId), asc(keyRotations.role))
    .limit(limit);
  return trusted(ctx, rows);
}

/** A row whose seal does not hold is absent: nobody asked for what it says. */
function trusted({ keys, log }: AuthContext, rows: readonly KeyRotationRow[]): KeyRotationRow[] {
  return rows.filter((row) => {
    if (requireSeal(keys, KEY_ROTATION_TABLE, keyRotationFields(row), row.seal)) return true;
    const { tenantId, role } = row;
    log.error(
      { table: KEY_ROTATION_TABLE, object_id: tenantId, role },
      "the seal of a row does not hold; it is ignored",
    );
    return false;
  });
}

/** Notes public keys that may not come back into the tenant's keyset. */
export async function insertRetired(
  tx: Tx,
  tenantId: TenantId,
  publicKeys: readonly Uint8Array[],
  retiredAt: Date,
): Promise<void> {
  if (publicKeys.length === 0) return;
  await tx
    .insert(retiredKeys)
    .values(publicKeys.map((publicKey) => ({ tenantId, publicKey, retiredAt })))
    .onConflictDoNothing();
}

export async function isRetired(tx: Tx, tenantId: TenantId, publicKey: Uint8Array): Promise<boolean> {
  const found = await tx
    .select({ tenantId: retiredKeys.tenantId })
    .from(retiredKeys)
    .where(and(eq(retiredKeys.tenantId, tenantId), eq(retiredKeys.publicKey, publicKey)));
  return found.length > 0;
}
