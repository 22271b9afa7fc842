import { fileURLToPath } from "node:url";
import { bigint, pgTable, text } from "drizzle-orm/pg-core";
import type { Caller } from "../../caller/index.ts";
import { bytes } from "../../db/index.ts";
import { newId, type TenantId } from "../../ids/index.ts";

export const thingMigrations = fileURLToPath(new URL("migrations", import.meta.url));
export const noMigrations = fileURLToPath(new URL("empty", import.meta.url));

export const thing = pgTable("thing", {
  tenantId: text("tenant_id"),
  name: text("name").notNull(),
  amount: bigint("amount", { mode: "bigint" }).notNull(),
  body: bytes("body").notNull(),
});

export const newTenant = (): TenantId => newId("tenant", Date.now());

export const serviceCaller: Caller = {
  workload: { kind: "service", name: "policy" },
  authority: undefined,
  requestId: "request-1",
  address: "local",
};
