import type { KeyRotationStage } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { bytes } from "@cloudvlan/kit/db";
import type { TenantId } from "@cloudvlan/kit/ids";
import { bigint, boolean, integer, pgSchema, primaryKey, smallint, text, timestamp } from "drizzle-orm/pg-core";

const schema = pgSchema("auth");
const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });

/** Tenants. `seal` covers what has authority; the keyset has its own signature, the seed is wrapped. */
export const tenants = schema.table("tenant", {
  id: text("id").$type<TenantId>().primaryKey(),
  name: text("name").notNull(),
  status: smallint("status").notNull(),
  rootPublicKey: bytes("root_public_key").notNull(),
  /** Seed of the root key, wrapped. */
  rootSeed: bytes("root_seed").notNull(),
  createdAt: instant("created_at").notNull(),
  createdBy: text("created_by").notNull(),
  seal: bytes("seal").notNull(),
  keysetVersion: bigint("keyset_version", { mode: "bigint" }).notNull(),
  /** Serialised `Signed` of the `Keyset`. */
  keyset: bytes("keyset").notNull(),
  /** Grows with each change of name or status. */
  revision: bigint("revision", { mode: "bigint" }).notNull().default(1n),
  /** Null until the first change. */
  updatedAt: instant("updated_at"),
});

/** What each root key of a tenant said of its successor; signed. */
export const rootTransitions = schema.table(
  "root_transition",
  {
    tenantId: text("tenant").$type<TenantId>().notNull(),
    sequence: bigint({ mode: "bigint" }).notNull(),
    /** Serialised `Signed` of the `RootTransition`. */
    signed: bytes().notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.sequence] })],
);

/** The latest replacement of each delegated key of a tenant. */
export const keyRotations = schema.table(
  "key_rotation",
  {
    tenantId: text("tenant").$type<TenantId>().notNull(),
    role: smallint().$type<KeyRole>().notNull(),
    stage: smallint().$type<KeyRotationStage>().notNull(),
    formerKeyIds: text("former_key_ids").array().notNull(),
    /** Empty until the service that signs has made the key. */
    keyId: text("key_id").notNull(),
    left: bigint("records_left", { mode: "bigint" }).notNull(),
    startedAt: instant("started_at").notNull(),
    updatedAt: instant("updated_at").notNull(),
    startedBy: text("started_by").notNull(),
    seal: bytes("seal").notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.role] })],
);

/** Public keys that left a tenant's keyset and may not come back. */
export const retiredKeys = schema.table(
  "retired_key",
  {
    tenantId: text("tenant").$type<TenantId>().notNull(),
    publicKey: bytes("public_key").notNull(),
    retiredAt: instant("retired_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.publicKey] })],
);

/** API keys; of the platform where the tenant is null. */
export const apiKeys = schema.table("api_key", {
  tenantId: text("tenant_id").$type<TenantId>(),
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  /** SHA-256 of the secret. */
  digest: bytes("digest").notNull(),
  permissions: integer("permissions").array().notNull(),
  /** True for the one key made at the first start. */
  owner: boolean("owner").notNull(),
  expiresAt: instant("expires_at").notNull(),
  revokedAt: instant("revoked_at"),
  createdAt: instant("created_at").notNull(),
  createdBy: text("created_by").notNull(),
  seal: bytes("seal").notNull(),
});

/** Identities refused everywhere. */
export const denials = schema.table("denial", {
  subject: text("subject").primaryKey(),
  issuedBefore: instant("issued_before").notNull(),
  /** Revision of the change that told of it. */
  revision: bigint("revision", { mode: "bigint" }).notNull(),
  createdAt: instant("created_at").notNull(),
});

/** The key that signs call contexts. */
export const contextKeys = schema.table("context_key", {
  slot: smallint("slot").primaryKey(),
  keyId: text("key_id").notNull(),
  /** Wrapped. */
  seed: bytes("seed").notNull(),
  createdAt: instant("created_at").notNull(),
});

export type TenantRow = typeof tenants.$inferSelect;
export type ApiKeyRow = typeof apiKeys.$inferSelect;
export type KeyRotationRow = typeof keyRotations.$inferSelect;
/** How the replacement of a delegated key stands. */
export type KeyRotationState = Omit<KeyRotationRow, "seal">;
