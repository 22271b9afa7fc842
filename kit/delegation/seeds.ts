import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Client } from "@connectrpc/connect";
import { and, eq, sql } from "drizzle-orm";
import type { ServiceName } from "../caller/index.ts";
import type { Database, Tx } from "../db/index.ts";
import type { TenantId } from "../ids/index.ts";
import type { KeyProvider } from "../keys/index.ts";
import { newSigningSeed, openKeyset, type RoleKey, signingKeyFromSeed } from "../sign/index.ts";
import { signingKey } from "./tables.ts";

/** Where a service's keys are kept, and who delegates to them. */
export interface SeedOptions {
  readonly service: ServiceName;
  /** The only one that auth delegates to the service. */
  readonly role: KeyRole;
  readonly db: Database;
  readonly keys: KeyProvider;
  readonly auth: Client<typeof AuthService>;
}

/** A key that auth has delegated. */
export interface Delegated {
  readonly key: RoleKey;
  /** Milliseconds since the Unix epoch. */
  readonly notAfter: number;
  /** The seed as it is stored. */
  readonly wrapped: Uint8Array;
}

/** The tenant's key, made when there is none, and delegated. */
export async function load(options: SeedOptions, tenantId: TenantId): Promise<Delegated> {
  const { service, db, keys } = options;
  const fresh = await keys.wrap(seedContext(service, tenantId), newSigningSeed());
  return delegated(options, tenantId, await storedSeed(db, tenantId, fresh));
}

/**
 * The key that takes the place of those, made when there is none. It is in the keyset before it comes into force, and the
 * former seed is gone then.
 */
export async function replace(
  options: SeedOptions,
  tenantId: TenantId,
  formerKeyIds: readonly string[],
): Promise<Delegated> {
  const { service, db, keys } = options;
  const present = await load(options, tenantId);
  if (!formerKeyIds.includes(present.key.keyId)) return present;
  const fresh = await keys.wrap(seedContext(service, tenantId), newSigningSeed());
  const next = await nextSeed(db, tenantId, present, fresh);
  if (!next) return load(options, tenantId);
  await delegated(options, tenantId, next);
  await db.tenant(tenantId, (tx) =>
    tx
      .update(signingKey)
      .set({ wrappedSeed: next, nextWrappedSeed: null })
      .where(and(eq(signingKey.tenantId, tenantId), eq(signingKey.nextWrappedSeed, next))),
  );
  return load(options, tenantId);
}

/** True when the key is in force; it stays so until the transaction ends. */
export async function isInForce(tx: Tx, tenantId: TenantId, { wrapped }: Delegated): Promise<boolean> {
  const [row] = await tx
    .select({ wrappedSeed: signingKey.wrappedSeed })
    .from(signingKey)
    .where(eq(signingKey.tenantId, tenantId))
    .for("share");
  return row !== undefined && Buffer.compare(row.wrappedSeed, wrapped) === 0;
}

export function seedContext(service: ServiceName, tenantId: string): string {
  return `${service}/signing-key/${tenantId}`;
}

async function delegated(
  { service, role, keys, auth }: SeedOptions,
  tenantId: TenantId,
  wrapped: Uint8Array,
): Promise<Delegated> {
  const seed = await keys.unwrap(seedContext(service, tenantId), wrapped);
  const { publicKey } = signingKeyFromSeed("", seed);
  const { keyId, keyset, rootPublicKey } = await auth.delegateKey({ tenantId, role, publicKey });
  if (!keyset) throw new Error("auth answered without a keyset");
  const ofRole = openKeyset(rootPublicKey, tenantId, keyset).keys.filter((key) => key.role === role);
  const ours = ofRole.find((key) => key.keyId === keyId);
  if (!ours?.notAfter || !Buffer.from(ours.publicKey).equals(publicKey))
    throw new Error("auth answered with a keyset in which the key is not delegated");
  const accepted = new Map(ofRole.map((key) => [key.keyId, key.publicKey]));
  return { key: { ...signingKeyFromSeed(keyId, seed), accepted }, notAfter: timestampMs(ours.notAfter), wrapped };
}

/** The seed that is stored; `fresh` when there is none. */
function storedSeed(db: Database, tenantId: TenantId, fresh: Uint8Array): Promise<Uint8Array> {
  return db.tenant(tenantId, async (tx) => {
    await tx.insert(signingKey).values({ tenantId, wrappedSeed: fresh }).onConflictDoNothing();
    const [row] = await tx.select().from(signingKey).where(eq(signingKey.tenantId, tenantId));
    if (!row) throw new Error("the signing key was not stored");
    return row.wrappedSeed;
  });
}

/** The seed of the key that comes, one for all workers; `fresh` when there is none. Undefined when it has come already. */
function nextSeed(
  db: Database,
  tenantId: TenantId,
  present: Delegated,
  fresh: Uint8Array,
): Promise<Uint8Array | undefined> {
  return db.tenant(tenantId, async (tx) => {
    const [row] = await tx
      .update(signingKey)
      .set({
        nextWrappedSeed: sql`coalesce(${signingKey.nextWrappedSeed}, ${sql.param(fresh, signingKey.nextWrappedSeed)})`,
      })
      .where(and(eq(signingKey.tenantId, tenantId), eq(signingKey.wrappedSeed, present.wrapped)))
      .returning({ next: signingKey.nextWrappedSeed });
    return row?.next ?? undefined;
  });
}
