import type { ServiceName } from "@cloudvlan/kit/caller";
import type { TenantId } from "@cloudvlan/kit/ids";
import { sql } from "drizzle-orm";
import type { Installation } from "./installation.ts";

/** A row of a service's audit log. */
export interface AuditRow {
  readonly sequence: number;
  readonly actor: string;
  readonly action: string;
  readonly objectId: string;
  readonly outcome: string;
}

/** The audit log of a tenant in one service, or the platform's, in order. */
export async function auditRows(
  installation: Installation,
  service: ServiceName,
  tenantId: TenantId | undefined,
): Promise<AuditRow[]> {
  const { db } = installation.context(service);
  const query = sql`select sequence, actor, action, object_id, outcome from audit_log order by sequence`;
  const result = tenantId
    ? await db.tenant(tenantId, (tx) => tx.execute(query))
    : await db.platform((tx) => tx.execute(query));
  const { rows } = result as unknown as { rows: Record<string, unknown>[] };
  return rows.map((row) => ({
    sequence: Number(row["sequence"]),
    actor: String(row["actor"]),
    action: String(row["action"]),
    objectId: String(row["object_id"]),
    outcome: String(row["outcome"]),
  }));
}
