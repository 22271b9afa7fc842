import { newId } from "@cloudvlan/kit/ids";
import { newSigningSeed, type SigningKey, signingKeyFromSeed } from "@cloudvlan/kit/sign";
import { findContextKey, keepContextKey } from "./store.ts";
import type { AuthContext } from "./trusted.ts";

/**
 * The key that signs call contexts, the same for every worker, made at the first start of the first of them. Its public
 * half is derived from the wrapped seed: what the database says in the clear is believed by nobody.
 * @throws Error when the key provider is not the one that wrapped it.
 */
export async function loadContextKey(ctx: AuthContext): Promise<SigningKey> {
  const kept = (await ctx.db.platform(findContextKey)) ?? (await makeOnce(ctx));
  return signingKeyFromSeed(kept.keyId, await ctx.keys.unwrap(contextOf(kept.keyId), kept.seed));
}

async function makeOnce(ctx: AuthContext) {
  const nowMs = ctx.clock.nowMs();
  const keyId = newId("key", nowMs);
  const seed = await ctx.keys.wrap(contextOf(keyId), newSigningSeed());
  return ctx.db.platform((tx) => keepContextKey(tx, { keyId, seed, createdAt: new Date(nowMs) }));
}

export function contextOf(keyId: string): string {
  return `auth/context-key/${keyId}`;
}
