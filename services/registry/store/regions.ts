import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { asc, eq, gt } from "drizzle-orm";
import { regions } from "../schema.ts";
import type { Page } from "@cloudvlan/kit/page";

export type RegionRow = typeof regions.$inferSelect;

/** @throws Refusal `exists` when the installation has a region of that name. */
export async function insertRegion(tx: Tx, row: RegionRow): Promise<void> {
  const inserted = await tx
    .insert(regions)
    .values(row)
    .onConflictDoNothing({ target: [regions.name] })
    .returning({ id: regions.id });
  if (inserted.length > 0) return;
  throw new Refusal("exists", "REGION_NAME_TAKEN", `there is a region named ${row.name}`, {
    field: "name",
    remedy: "choose another name",
  });
}

export async function listRegions(tx: Tx, page: Page): Promise<RegionRow[]> {
  return tx
    .select()
    .from(regions)
    .where(gt(regions.id, page.after))
    .orderBy(asc(regions.id))
    .limit(page.size + 1);
}

/** False when there was none. */
export async function deleteRegion(tx: Tx, id: string): Promise<boolean> {
  const deleted = await tx.delete(regions).where(eq(regions.id, id)).returning({ id: regions.id });
  return deleted.length > 0;
}
