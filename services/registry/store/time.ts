import type { Tx } from "@cloudvlan/kit/db";
import { sql } from "drizzle-orm";

/** Time of the database at the start of the transaction: one clock for all workers, in whole milliseconds. */
export async function databaseNow(tx: Tx): Promise<Date> {
  const [row] = await tx
    .select({ ms: sql<string>`floor(extract(epoch from now()) * 1000)::text` })
    .from(sql`(values (1)) as one`);
  if (!row) throw new Error("the database did not tell the time");
  return new Date(Number(row.ms));
}
