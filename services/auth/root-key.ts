import { fromBinary } from "@bufbuild/protobuf";
import { type Signed, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import type { TenantId } from "@cloudvlan/kit/ids";
import type { KeyProvider } from "@cloudvlan/kit/keys";
import { newSigningSeed, ROOT_KEY_ID, rootKeysOf, type SigningKey, signingKeyFromSeed } from "@cloudvlan/kit/sign";
import type { TenantRow } from "./schema.ts";
import { listRootTransitions } from "./store.ts";

/** The tenant is part of the context: one tenant's root key is no good in another's row. */
export function rootContextOf(tenantId: TenantId): string {
  return `auth/tenant-root/${tenantId}`;
}

/** Makes the root key of a tenant, and its seed wrapped for the database. */
export async function newRootKey(
  keys: KeyProvider,
  tenantId: TenantId,
): Promise<{ readonly root: SigningKey; readonly wrapped: Uint8Array }> {
  const seed = newSigningSeed();
  return { root: signingKeyFromSeed(ROOT_KEY_ID, seed), wrapped: await keys.wrap(rootContextOf(tenantId), seed) };
}

/** @throws Error when the wrapped seed is not of this tenant or not that of the root key in its row. */
export async function openRootKey(
  keys: KeyProvider,
  tenant: Pick<TenantRow, "id" | "rootPublicKey" | "rootSeed">,
): Promise<SigningKey> {
  const root = signingKeyFromSeed(ROOT_KEY_ID, await keys.unwrap(rootContextOf(tenant.id), tenant.rootSeed));
  if (!Buffer.from(root.publicKey).equals(tenant.rootPublicKey)) {
    throw new Error(`the wrapped root key of ${tenant.id} is not the one its row names`);
  }
  return root;
}

/**
 * What the root keys of a tenant said of their successors, oldest first; undefined when they do not lead to the root key
 * of the row: it is another one by now, or somebody changed either.
 * @throws Error when they are no chain.
 */
export async function readRootTransitions(tx: Tx, tenant: TenantRow): Promise<Signed[] | undefined> {
  const transitions = (await listRootTransitions(tx, tenant.id)).map((bytes) => fromBinary(SignedSchema, bytes));
  const last = rootKeysOf(tenant.id, transitions).at(-1);
  return last && !Buffer.from(last).equals(tenant.rootPublicKey) ? undefined : transitions;
}
