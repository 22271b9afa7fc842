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
  throw regionNameTaken(row.name);
}

export function regionNameTaken(name: string): Refusal {
  return new Refusal("exists", "REGION_NAME_TAKEN", `there is a region named ${name}`, {
    field: "name",
    remedy: "choose another name",
  });
}

/** A region, locked until the end of the transaction where it is to be changed. @throws Refusal `not_found`. */
export async function requireRegion(tx: Tx, id: string, lock?: "update"): Promise<RegionRow> {
  const select = tx.select().from(regions).where(eq(regions.id, id));
  const [row] = await (lock ? select.for(lock) : select);
  if (row) return row;
  throw regionNotFound();
}

export function regionNotFound(): Refusal {
  return new Refusal("not_found", "REGION_NOT_FOUND", "there is no such region", {
    field: "region_id",
    remedy: "list the regions",
  });
}

export function regionInUse(objectId: string): Refusal {
  return new Refusal("conflict", "REGION_IN_USE", "a discovery server stands in the region", {
    objectId,
    remedy: "move its discovery servers to another region, or delete them, first",
  });
}

/** Replaces the names of a region. */
export async function updateRegion(tx: Tx, { id, name, displayName }: RegionRow): Promise<void> {
  await tx.update(regions).set({ name, displayName }).where(eq(regions.id, id));
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
