import { bytes } from "@cloudvlan/kit/db";
import { bigint, boolean, integer, pgSchema, primaryKey, smallint, text, timestamp } from "drizzle-orm/pg-core";

const schema = pgSchema("netmap");

const scope = () => ({ tenantId: text("tenant_id").notNull(), cvlanId: text("cvlan_id").notNull() });

/** Where the map of a cvlan stands, and how far its sources were followed. */
export const maps = schema.table(
  "map",
  {
    ...scope(),
    epoch: bigint({ mode: "bigint" }).notNull().default(1n),
    revision: bigint({ mode: "bigint" }).notNull().default(0n),
    registryCursor: bigint("registry_cursor", { mode: "bigint" }).notNull().default(0n),
    policyCursor: bigint("policy_cursor", { mode: "bigint" }).notNull().default(0n),
    dnsRevision: bigint("dns_revision", { mode: "bigint" }).notNull().default(0n),
    relayMapRevision: bigint("relay_map_revision", { mode: "bigint" }).notNull().default(0n),
    /** How far registry was followed by workers that take relay maps. */
    relayMapCursor: bigint("relay_map_cursor", { mode: "bigint" }).notNull().default(0n),
    /** Serialised `EffectiveSettings`; empty before the first. */
    settings: bytes().notNull().default(new Uint8Array()),
    settingsRevision: bigint("settings_revision", { mode: "bigint" }).notNull().default(0n),
    settingsSeal: bytes("settings_seal").notNull().default(new Uint8Array()),
    /** Told without peers, for the tenant is suspended. */
    suspended: boolean().notNull().default(false),
    /** Revision of the tenant at which that was decided. */
    standingRevision: bigint("standing_revision", { mode: "bigint" }).notNull().default(0n),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.cvlanId] })],
);

/** Latest signed record of each object; of a removed one, the fact. */
export const records = schema.table(
  "record",
  {
    ...scope(),
    objectId: text("object_id").notNull(),
    kind: smallint().notNull(),
    /** Serialised `Signed`. */
    signed: bytes().notNull(),
    /** `record_revision` of a node or of a shared record, `policy_version` of a rule or manifest. */
    version: bigint({ mode: "bigint" }).notNull(),
    removed: boolean().notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.cvlanId, table.objectId] })],
);

/** What changed with each revision; sealed. */
export const logs = schema.table(
  "log",
  {
    ...scope(),
    revision: bigint({ mode: "bigint" }).notNull(),
    ordinal: integer().notNull(),
    /** Rows of this revision. */
    entries: integer().notNull(),
    objectId: text("object_id").notNull(),
    kind: smallint().notNull(),
    /** Serialised `Signed`; empty when there was none. */
    before: bytes().notNull(),
    after: bytes().notNull(),
    seal: bytes().notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.cvlanId, table.revision, table.ordinal] })],
);

/** Where nodes say they can be reached; unsigned, short-lived. */
export const endpoints = schema.table(
  "endpoint",
  {
    ...scope(),
    nodeId: text("node_id").notNull(),
    sequence: bigint({ mode: "bigint" }).notNull(),
    /** Serialised `EndpointHint`. */
    hint: bytes().notNull(),
    expiresAt: timestamp("expires_at", { withTimezone: true }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.cvlanId, table.nodeId] })],
);

/** Workers that are alive; of no tenant. */
export const presenceWorkers = schema.table("presence_worker", {
  worker: text().primaryKey(),
  seenAt: timestamp("seen_at", { withTimezone: true }).notNull(),
  expiresAt: timestamp("expires_at", { withTimezone: true }).notNull(),
});

/** The latest map stream of each node. */
export const presences = schema.table(
  "presence",
  {
    ...scope(),
    nodeId: text("node_id").notNull(),
    worker: text().notNull(),
    since: timestamp({ withTimezone: true }).notNull(),
    /** Null while it is open, as long as its worker is alive. */
    endedAt: timestamp("ended_at", { withTimezone: true }),
    revision: bigint({ mode: "bigint" }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.cvlanId, table.nodeId] })],
);

/** Counts endpoint reports of a cvlan, so that a worker reads only those it has not seen. */
export const endpointSequences = schema.table(
  "endpoint_sequence",
  { ...scope(), sequence: bigint({ mode: "bigint" }).notNull() },
  (table) => [primaryKey({ columns: [table.tenantId, table.cvlanId] })],
);
