import { type KeyProvider, requireSeal, type SealFields, sealOf } from "@cloudvlan/kit/keys";
import type { Logger } from "@cloudvlan/kit/log";

/** Seals over whole rows: every column but `seal` itself. */
export interface Seals {
  seal<F extends object>(table: string, fields: F): F & { seal: Uint8Array };
  /** The row, or undefined when this service did not write it as it stands; that is logged. */
  open<R extends { readonly seal: Uint8Array }>(table: string, row: R | undefined): R | undefined;
}

/** Name under which rows of a table are sealed. */
export function sealedAs(table: string): string {
  return `registry.${table}`;
}

export function rowSeals(keys: KeyProvider, log: Logger): Seals {
  return {
    seal: (table, fields) => {
      const { seal: _former, ...sealed } = fields as SealFields;
      return { ...fields, seal: sealOf(keys, sealedAs(table), sealed) };
    },
    open: (table, row) => {
      if (!row) return undefined;
      const { seal, ...fields } = row;
      if (requireSeal(keys, sealedAs(table), fields as SealFields, seal)) return row;
      const { id, nodeId, cvlanId } = fields as { id?: unknown; nodeId?: unknown; cvlanId?: unknown };
      log.error(
        { table, object_id: id ?? nodeId ?? cvlanId },
        "a row does not carry this service's seal; it is treated as absent",
      );
      return undefined;
    },
  };
}
