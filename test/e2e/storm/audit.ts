import type { ServiceName } from "@cloudvlan/kit/caller";
import { openStore, type StoreConfig } from "@cloudvlan/kit/db";
import type { TenantId } from "@cloudvlan/kit/ids";
import { silentLog } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";

/** The audit log of a tenant in one service, in order. */
export interface Audit {
  readonly sequences: readonly number[];
  /** Rows with the outcome `ok` by RPC, without its service. */
  readonly done: ReadonlyMap<string, number>;
}

/** Reads the audit logs of a tenant. No other process may have the embedded store. */
export async function auditOf(
  config: StoreConfig,
  tenantId: TenantId,
  services: readonly ServiceName[],
): Promise<ReadonlyMap<ServiceName, Audit>> {
  await using store = await openStore(config, silentLog);
  const audits = new Map<ServiceName, Audit>();
  for (const service of services) {
    const query = sql`select sequence, action, outcome from audit_log order by sequence`;
    const result = await store.database(service).tenant(tenantId, (tx) => tx.execute(query));
    const { rows } = result as unknown as { rows: { sequence: unknown; action: string; outcome: string }[] };
    const done = new Map<string, number>();
    for (const { action, outcome } of rows) {
      const method = action.slice(action.lastIndexOf("/") + 1);
      if (outcome === "ok") done.set(method, (done.get(method) ?? 0) + 1);
    }
    audits.set(service, { sequences: rows.map(({ sequence }) => Number(sequence)), done });
  }
  return audits;
}
