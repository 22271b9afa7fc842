import { randomUUID } from "node:crypto";
import { TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { isId } from "@cloudvlan/kit/ids";
import { endTenant } from "./tenant-life.ts";
import type { AuthContext } from "./trusted.ts";

/**
 * Deletes again the tenants that this worker knows to be deleted: in a database that was restored from a backup they stand as
 * if nothing had happened.
 */
export async function endTenantsDeniedBefore(ctx: AuthContext, signal: AbortSignal): Promise<void> {
  const caller = {
    workload: { kind: "service", name: "auth" },
    authority: undefined,
    requestId: randomUUID(),
    address: "local",
  } as const;
  for (const subject of ctx.deniedBefore) {
    if (signal.aborted) return;
    const tenantId = subject.startsWith("tenant:") ? subject.slice("tenant:".length) : "";
    if (!isId("tenant", tenantId)) continue;
    if (await endTenant(ctx, caller, tenantId, pathOf(TenantService.method.deleteTenant))) {
      ctx.log.info({ tenant_id: tenantId }, "a tenant that was deleted before is deleted again");
    }
  }
}
