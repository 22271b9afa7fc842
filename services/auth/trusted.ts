import type { Caller } from "@cloudvlan/kit/caller";
import type { Tx } from "@cloudvlan/kit/db";
import { requireSeal, type SealFields } from "@cloudvlan/kit/keys";
import type { ServiceContext } from "@cloudvlan/kit/service";
import type { AuthConfig } from "./config.ts";
import { API_KEY_TABLE, apiKeyFields, TENANT_TABLE, tenantFields } from "./domain/seals.ts";
import type { ApiKeyRow, TenantRow } from "./schema.ts";

export type AuthContext = ServiceContext<AuthConfig>;

interface Sealed {
  readonly id: string;
  readonly seal: Uint8Array;
}

/** Rows whose seal does not hold are absent: dropped, logged, and audited in the transaction's tenant. */
async function keepTrusted<R extends Sealed>(
  { keys, log, audit }: AuthContext,
  tx: Tx,
  caller: Caller,
  table: string,
  rows: readonly R[],
  fieldsOf: (row: R) => SealFields,
): Promise<R[]> {
  const kept: R[] = [];
  for (const row of rows) {
    if (requireSeal(keys, table, fieldsOf(row), row.seal)) {
      kept.push(row);
    } else {
      log.error({ table, object_id: row.id }, "the seal of a row does not hold; it was changed behind our back");
      await audit.record(tx, caller, { action: `${table}/read`, objectId: row.id, outcome: "SEAL_BROKEN" });
    }
  }
  return kept;
}

export function trustedTenants(
  ctx: AuthContext,
  tx: Tx,
  caller: Caller,
  rows: readonly TenantRow[],
): Promise<TenantRow[]> {
  return keepTrusted(ctx, tx, caller, TENANT_TABLE, rows, tenantFields);
}

export function trustedApiKeys(
  ctx: AuthContext,
  tx: Tx,
  caller: Caller,
  rows: readonly ApiKeyRow[],
): Promise<ApiKeyRow[]> {
  return keepTrusted(ctx, tx, caller, API_KEY_TABLE, rows, apiKeyFields);
}
