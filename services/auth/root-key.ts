import type { TenantId } from "@cloudvlan/kit/ids";
import type { KeyProvider } from "@cloudvlan/kit/keys";
import { newSigningSeed, type SigningKey, signingKeyFromSeed } from "@cloudvlan/kit/sign";
import type { TenantRow } from "./schema.ts";

/** Key id of a tenant's root key in `Signed`. */
const ROOT = "root";

/** The tenant is part of the context: one tenant's root key is no good in another's row. */
function contextOf(tenantId: TenantId): string {
  return `auth/tenant-root/${tenantId}`;
}

/** Makes the root key of a tenant, and its seed wrapped for the database. */
export async function newRootKey(
  keys: KeyProvider,
  tenantId: TenantId,
): Promise<{ readonly root: SigningKey; readonly wrapped: Uint8Array }> {
  const seed = newSigningSeed();
  return { root: signingKeyFromSeed(ROOT, seed), wrapped: await keys.wrap(contextOf(tenantId), seed) };
}

/** @throws Error when the wrapped seed is not of this tenant or not that of the root key in its row. */
export async function openRootKey(keys: KeyProvider, tenant: TenantRow): Promise<SigningKey> {
  const root = signingKeyFromSeed(ROOT, await keys.unwrap(contextOf(tenant.id), tenant.rootSeed));
  if (!Buffer.from(root.publicKey).equals(tenant.rootPublicKey)) {
    throw new Error(`the wrapped root key of ${tenant.id} is not the one its row names`);
  }
  return root;
}
