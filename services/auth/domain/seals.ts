import type { SealFields } from "@cloudvlan/kit/keys";
import type { ApiKeyRow, KeyRotationRow, TenantRow } from "../schema.ts";

export const TENANT_TABLE = "auth.tenant";
export const API_KEY_TABLE = "auth.api_key";
export const KEY_ROTATION_TABLE = "auth.key_rotation";

/** What the seal of a tenant's row covers. */
export function tenantFields(
  row: Pick<TenantRow, "id" | "name" | "status" | "rootPublicKey" | "createdAt" | "createdBy">,
): SealFields {
  const { id, name, status, rootPublicKey, createdAt, createdBy } = row;
  return { id, name, status, rootPublicKey, createdAt, createdBy };
}

/** What the seal of an API key's row covers. */
export function apiKeyFields(row: Omit<ApiKeyRow, "seal">): SealFields {
  const { tenantId, id, name, digest, permissions, owner, expiresAt, revokedAt, createdAt, createdBy } = row;
  return { tenantId, id, name, digest, permissions, owner, expiresAt, revokedAt, createdAt, createdBy };
}

/** What the seal of a rotation's row covers. */
export function keyRotationFields(row: Omit<KeyRotationRow, "seal">): SealFields {
  const { tenantId, role, stage, formerKeyIds, keyId, left, startedAt, updatedAt, startedBy } = row;
  return { tenantId, role, stage, formerKeyIds, keyId, left, startedAt, updatedAt, startedBy };
}
