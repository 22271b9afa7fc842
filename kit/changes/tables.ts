import { bigint, pgTable, text } from "drizzle-orm/pg-core";
import { bytes } from "../db/columns.ts";

/** Where each stream stands. The tenant is the transaction's, by default of the column. The schema is the search path. */
export const changeStream = pgTable("change_stream", {
  tenantId: text("tenant_id"),
  stream: text("stream").notNull(),
  revision: bigint("revision", { mode: "bigint" }).notNull(),
});

/** Latest change of each object; `body` is a serialised `Change` without id and revision. */
export const change = pgTable("change", {
  tenantId: text("tenant_id"),
  stream: text("stream").notNull(),
  objectId: text("object_id").notNull(),
  revision: bigint("revision", { mode: "bigint" }).notNull(),
  body: bytes("body").notNull(),
});
