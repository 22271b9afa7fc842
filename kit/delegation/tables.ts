import { pgTable, text } from "drizzle-orm/pg-core";
import { bytes } from "../db/columns.ts";

/** The key that a service signs with for each tenant, wrapped by the key provider. The schema is the search path. */
export const signingKey = pgTable("signing_key", {
  tenantId: text("tenant_id").primaryKey(),
  wrappedSeed: bytes("wrapped_seed").notNull(),
  /** Of the key that takes its place; null while none does. */
  nextWrappedSeed: bytes("next_wrapped_seed"),
});
