import { bytes } from "@cloudvlan/kit/db";
import { bigint, boolean, jsonb, pgSchema, smallint, text, timestamp } from "drizzle-orm/pg-core";

const schema = pgSchema("registry");

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: "date" });

export const installations = schema.table("installation", {
  slot: smallint("slot").primaryKey(),
  ulaPrefix: bytes("ula_prefix").notNull(),
  seal: bytes("seal").notNull(),
});

export const cvlans = schema.table("cvlan", {
  tenantId: text("tenant_id").notNull(),
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  ipv4Pool: text("ipv4_pool").notNull(),
  ipv6Prefix: text("ipv6_prefix").notNull(),
  createdAt: instant("created_at").notNull(),
  createdBy: text("created_by").notNull(),
  seal: bytes("seal").notNull(),
});

export const cvlanDns = schema.table("cvlan_dns", {
  tenantId: text("tenant_id").notNull(),
  cvlanId: text("cvlan_id").primaryKey(),
  domain: text("domain").notNull(),
  record: bytes("record").notNull(),
  recordRevision: bigint("record_revision", { mode: "bigint" }).notNull(),
  seal: bytes("seal").notNull(),
});

export const publications = schema.table("publication", {
  cvlanId: text("cvlan_id").primaryKey(),
  owner: text("owner").notNull(),
  due: boolean("due").notNull(),
  relayRevision: bigint("relay_revision", { mode: "bigint" }).notNull().default(0n),
});

export const cvlanRelayMaps = schema.table("cvlan_relay_map", {
  tenantId: text("tenant_id").notNull(),
  cvlanId: text("cvlan_id").primaryKey(),
  record: bytes("record").notNull(),
  recordRevision: bigint("record_revision", { mode: "bigint" }).notNull(),
  seal: bytes("seal").notNull(),
});

const layer = {
  revision: bigint("revision", { mode: "bigint" }).notNull(),
  body: bytes("body").notNull(),
  createdAt: instant("created_at").notNull(),
  updatedAt: instant("updated_at").notNull(),
  createdBy: text("created_by").notNull(),
  seal: bytes("seal").notNull(),
};

export const clusterSettings = schema.table("cluster_settings", { slot: smallint("slot").primaryKey(), ...layer });

export const tenantSettings = schema.table("tenant_settings", {
  tenantId: text("tenant_id").notNull(),
  cvlanId: text("cvlan_id"),
  ...layer,
});

export const fanOuts = schema.table("fan_out", {
  owner: text("owner").primaryKey(),
  cursor: text("cursor").notNull(),
});

export const addressPools = schema.table("address_pool", {
  tenantId: text("tenant_id").notNull(),
  cvlanId: text("cvlan_id").primaryKey(),
  nextHost: bigint("next_host", { mode: "bigint" }).notNull(),
  seal: bytes("seal").notNull(),
});

export const addresses = schema.table("address", {
  tenantId: text("tenant_id").notNull(),
  cvlanId: text("cvlan_id").notNull(),
  host: bigint("host", { mode: "bigint" }).notNull(),
  nodeId: text("node_id").notNull(),
  releasedAt: instant("released_at"),
  seal: bytes("seal").notNull(),
});

export const nodes = schema.table("node", {
  tenantId: text("tenant_id").notNull(),
  id: text("id").primaryKey(),
  cvlanId: text("cvlan_id").notNull(),
  name: text("name").notNull(),
  kind: smallint("kind").notNull(),
  status: smallint("status").notNull(),
  host: bigint("host", { mode: "bigint" }).notNull(),
  wireguardPublicKey: bytes("wireguard_public_key").notNull(),
  controlPublicKey: bytes("control_public_key").notNull(),
  capabilityVersion: bigint("capability_version", { mode: "bigint" }).notNull(),
  tags: jsonb("tags").$type<Record<string, string>>().notNull(),
  routes: text("routes").array().notNull(),
  joinTokenId: text("join_token_id").notNull(),
  createdAt: instant("created_at").notNull(),
  joinedAt: instant("joined_at"),
  revokedAt: instant("revoked_at"),
  record: bytes("record").notNull(),
  recordRevision: bigint("record_revision", { mode: "bigint" }).notNull(),
  seal: bytes("seal").notNull(),
});

export const groups = schema.table("node_group", {
  tenantId: text("tenant_id").notNull(),
  id: text("id").primaryKey(),
  cvlanId: text("cvlan_id").notNull(),
  name: text("name").notNull(),
  createdAt: instant("created_at").notNull(),
  createdBy: text("created_by").notNull(),
  seal: bytes("seal").notNull(),
});

export const groupMembers = schema.table("group_member", {
  tenantId: text("tenant_id").notNull(),
  groupId: text("group_id").notNull(),
  nodeId: text("node_id").notNull(),
  seal: bytes("seal").notNull(),
});

export const joinTokens = schema.table("join_token", {
  tenantId: text("tenant_id").notNull(),
  id: text("id").primaryKey(),
  cvlanId: text("cvlan_id").notNull(),
  digest: bytes("digest").notNull(),
  expiresAt: instant("expires_at").notNull(),
  tags: jsonb("tags").$type<Record<string, string>>().notNull(),
  groupIds: text("group_ids").array().notNull(),
  nodeKind: smallint("node_kind").notNull(),
  createdAt: instant("created_at").notNull(),
  createdBy: text("created_by").notNull(),
  revokedAt: instant("revoked_at"),
  usedBy: bytes("used_by"),
  nodeId: text("node_id"),
  seal: bytes("seal").notNull(),
});

export const regions = schema.table("region", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  displayName: text("display_name").notNull(),
  createdAt: instant("created_at").notNull(),
  createdBy: text("created_by").notNull(),
});

export const discoveryServers = schema.table("discovery_server", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  regionId: text("region_id").notNull(),
  regionName: text("region_name").notNull(),
  endpoints: text("endpoints").array().notNull(),
  createdAt: instant("created_at").notNull(),
  updatedAt: instant("updated_at").notNull(),
  createdBy: text("created_by").notNull(),
  seal: bytes("seal").notNull(),
});

export const relayRevisions = schema.table("relay_revision", {
  slot: smallint("slot").primaryKey(),
  revision: bigint("revision", { mode: "bigint" }).notNull(),
});

export const pendingDenials = schema.table("pending_denial", {
  nodeId: text("node_id").primaryKey(),
  owner: text("owner").notNull(),
  since: instant("since").notNull(),
});
