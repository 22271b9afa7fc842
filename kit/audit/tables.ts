import { bigint, pgTable, smallint, text, timestamp } from "drizzle-orm/pg-core";

/** Last sequence number of each tenant. The tenant is the transaction's, by default of the column. */
export const auditSequence = pgTable("audit_sequence", {
  tenantId: text("tenant_id"),
  sequence: bigint("sequence", { mode: "bigint" }).notNull(),
});

/** Rows of `cloudvlan.entity.v1.AuditLog`; the time is the database's. */
export const auditLogTable = pgTable("audit_log", {
  tenantId: text("tenant_id"),
  sequence: bigint("sequence", { mode: "bigint" }).notNull(),
  clusterId: text("cluster_id").notNull(),
  occurredAt: timestamp("occurred_at", { withTimezone: true, mode: "date" }).notNull().defaultNow(),
  actorType: smallint("actor_type").notNull(),
  actor: text("actor").notNull(),
  action: text("action").notNull(),
  objectId: text("object_id").notNull(),
  outcome: text("outcome").notNull(),
  requestId: text("request_id").notNull(),
  sourceAddress: text("source_address").notNull(),
});
