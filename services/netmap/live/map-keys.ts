import type { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Database } from "@cloudvlan/kit/db";
import type { TenantId } from "@cloudvlan/kit/ids";
import type { KeyProvider } from "@cloudvlan/kit/keys";
import { newSigningSeed, type SigningKey, signingKeyFromSeed } from "@cloudvlan/kit/sign";
import type { Client } from "@connectrpc/connect";
import { eq } from "drizzle-orm";
import { signingKeys } from "../schema.ts";

/** The key that signs the heads of a tenant. */
export type MapKeys = (tenantId: TenantId) => Promise<SigningKey>;

/** Keys are made here, kept wrapped, and delegated by auth before their first use; asked once a tenant and process. */
export function mapKeys(db: Database, keys: KeyProvider, auth: Client<typeof AuthService>): MapKeys {
  const loaded = new Map<TenantId, Promise<SigningKey>>();
  return async (tenantId) => {
    const known = loaded.get(tenantId);
    if (known) return known;
    const loading = load(db, keys, auth, tenantId);
    loaded.set(tenantId, loading);
    try {
      return await loading;
    } catch (error) {
      loaded.delete(tenantId);
      throw error;
    }
  };
}

async function load(
  db: Database,
  keys: KeyProvider,
  auth: Client<typeof AuthService>,
  tenantId: TenantId,
): Promise<SigningKey> {
  const context = `netmap/signing-key/${tenantId}`;
  const fresh = await keys.wrap(context, newSigningSeed());
  const wrapped = await db.tenant(tenantId, async (tx) => {
    await tx.insert(signingKeys).values({ tenantId, wrappedSeed: fresh }).onConflictDoNothing();
    const [row] = await tx.select().from(signingKeys).where(eq(signingKeys.tenantId, tenantId));
    if (!row) throw new Error("the signing key was not stored");
    return row.wrappedSeed;
  });
  const seed = await keys.unwrap(context, wrapped);
  const { publicKey } = signingKeyFromSeed("", seed);
  const { keyId } = await auth.delegateKey({ tenantId, role: KeyRole.MAP, publicKey });
  return signingKeyFromSeed(keyId, seed);
}
