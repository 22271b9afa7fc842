import type { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Database } from "@cloudvlan/kit/db";
import type { TenantId } from "@cloudvlan/kit/ids";
import type { KeyProvider } from "@cloudvlan/kit/keys";
import { newSigningSeed, type SigningKey, signingKeyFromSeed } from "@cloudvlan/kit/sign";
import type { Client } from "@connectrpc/connect";
import { eq } from "drizzle-orm";
import { signingKeys } from "./schema.ts";

/** The key that signs a tenant's node records. To be asked for outside of transactions: it may call auth. */
export type EnrolKeys = (tenantId: TenantId) => Promise<SigningKey>;

/** Keys are made here, kept wrapped, and delegated by auth before their first use; asked once a tenant and process. */
export function enrolKeys(db: Database, keys: KeyProvider, auth: Client<typeof AuthService>): EnrolKeys {
  const loaded = new Map<TenantId, Promise<SigningKey>>();

  async function load(tenantId: TenantId): Promise<SigningKey> {
    const context = `registry/signing-key/${tenantId}`;
    const fresh = await keys.wrap(context, newSigningSeed());
    const wrapped = await db.tenant(tenantId, async (tx) => {
      await tx.insert(signingKeys).values({ tenantId, wrappedSeed: fresh }).onConflictDoNothing();
      const [row] = await tx.select().from(signingKeys).where(eq(signingKeys.tenantId, tenantId));
      if (!row) throw new Error("the signing key was not stored");
      return row.wrappedSeed;
    });
    const seed = await keys.unwrap(context, wrapped);
    const { publicKey } = signingKeyFromSeed("", seed);
    const { keyId } = await auth.delegateKey({ tenantId, role: KeyRole.ENROL, publicKey });
    return signingKeyFromSeed(keyId, seed);
  }

  return async (tenantId) => {
    const known = loaded.get(tenantId);
    if (known) return known;
    const loading = load(tenantId);
    loaded.set(tenantId, loading);
    try {
      return await loading;
    } catch (error) {
      loaded.delete(tenantId);
      throw error;
    }
  };
}
