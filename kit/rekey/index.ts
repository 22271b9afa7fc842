import { and, eq, getTableColumns, isNull, type SQL } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import type { Tx } from "../db/index.ts";
import { type MasterRotation, requireSeal, type SealFields, sealOf } from "../keys/index.ts";

/** Makes what stands under the former master key again under the new one. */
export interface Rekey {
  /** Values that neither key made; they stay as they are, and as worthless. */
  readonly broken: number;
  /** The new seal; undefined when it is new already, or does not hold. */
  seal(table: string, fields: SealFields, seal: Uint8Array): Uint8Array | undefined;
  /** The secret wrapped anew; undefined when it is already, or does not open. */
  secret(context: string, wrapped: Uint8Array): Promise<Uint8Array | undefined>;
}

/** A table of a service with seals or wrapped secrets. */
export interface SecretTable {
  /** Whose transactions see its rows. */
  readonly scopes: readonly ("platform" | "tenant")[];
  /** @returns rows that were changed. */
  rekey(tx: Tx, rekey: Rekey): Promise<number>;
}

export function newRekey({ both, newest }: Pick<MasterRotation, "both" | "newest">): Rekey {
  let broken = 0;
  return {
    get broken() {
      return broken;
    },
    seal(table, fields, seal) {
      if (requireSeal(newest, table, fields, seal)) return undefined;
      if (requireSeal(both, table, fields, seal)) return sealOf(newest, table, fields);
      broken += 1;
      return undefined;
    },
    async secret(context, wrapped) {
      const opens = (secret: Uint8Array): Uint8Array => secret;
      if (await newest.unwrap(context, wrapped).then(opens, () => undefined)) return undefined;
      const secret = await both.unwrap(context, wrapped).then(opens, () => undefined);
      if (secret) return newest.wrap(context, secret);
      broken += 1;
      return undefined;
    },
  };
}

/**
 * Remakes the rows of a table that the transaction sees.
 * @param key columns that tell a row from the others.
 * @param remake the columns to write; undefined for those that stay.
 */
export async function rekeyRows<T extends PgTable>(
  tx: Tx,
  table: T,
  key: readonly (keyof T["$inferSelect"] & string)[],
  remake: (
    row: T["$inferSelect"],
  ) => Promise<Readonly<Record<string, Uint8Array | undefined>>> | Readonly<Record<string, Uint8Array | undefined>>,
): Promise<number> {
  const columns = getTableColumns(table as PgTable);
  const rows = (await tx.select().from(table as PgTable)) as T["$inferSelect"][];
  let changed = 0;
  for (const row of rows) {
    const made = Object.entries(await remake(row)).filter(([, value]) => value !== undefined);
    if (made.length === 0) continue;
    const same = key.flatMap((name): SQL[] => {
      const column = columns[name];
      if (!column) throw new Error(`the table has no column ${name}`);
      return [row[name] === null ? isNull(column) : eq(column, row[name])];
    });
    await tx
      .update(table as PgTable)
      .set(Object.fromEntries(made))
      .where(and(...same));
    changed += 1;
  }
  return changed;
}
