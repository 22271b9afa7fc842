import { bytes } from "@cloudvlan/kit/db";
import { bigint, pgSchema, primaryKey, text, timestamp } from "drizzle-orm/pg-core";

const schema = pgSchema("policy");

/** The document in force in a cvlan, with the manifest of its rules. */
export const documents = schema.table(
  "document",
  {
    tenantId: text("tenant_id").notNull(),
    cvlanId: text("cvlan_id").notNull(),
    version: bigint({ mode: "bigint" }).notNull(),
    /** Serialised `PolicyDocument`. */
    document: bytes().notNull(),
    /** Serialised `Signed` of the `PolicyManifest`; empty before the first version. */
    manifest: bytes().notNull(),
    /** Serialised `PolicySource`; empty when the document came without one. */
    source: bytes().notNull(),
    createdBy: text("created_by").notNull(),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull(),
    updatedAt: timestamp("updated_at", { withTimezone: true }).notNull(),
    seal: bytes().notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.cvlanId] })],
);

/** The signed rules of the version in force. */
export const rules = schema.table(
  "rule",
  {
    tenantId: text("tenant_id").notNull(),
    cvlanId: text("cvlan_id").notNull(),
    ruleId: bytes("rule_id").notNull(),
    /** Serialised `Signed` of the `RuleRecord`. */
    signed: bytes().notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.cvlanId, table.ruleId] })],
);
