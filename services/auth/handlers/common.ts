import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import type { Caller, ServiceName } from "@cloudvlan/kit/caller";
import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import type { TenantId } from "@cloudvlan/kit/ids";
import type { TenantRow } from "../schema.ts";
import { findTenant } from "../store.ts";
import { type AuthContext, trustedTenants } from "../trusted.ts";

/** Workers that start at once change a keyset at once; each round one of them gets through. */
export const KEYSET_ATTEMPTS = 20;

export function keysetBusy(tenantId: TenantId): Refusal {
  return new Refusal("unavailable", "KEYSET_BUSY", "the keyset of the tenant is being changed by others", {
    objectId: tenantId,
    remedy: "try again",
  });
}

/** The calling service. @throws Refusal when it is not one of those let in. */
export function requireService(caller: Caller, allowed: readonly ServiceName[]): ServiceName {
  const { workload } = caller;
  if (workload.kind === "service" && allowed.includes(workload.name)) return workload.name;
  throw new Refusal("denied", "CALLER_NOT_LET_IN", "this call is not for the calling workload", {
    remedy: `it is made by ${allowed.join(", ")}`,
  });
}

/** @throws Refusal when the tenant does not exist, its row cannot be trusted, or it is not active. */
export async function requireTenant(ctx: AuthContext, caller: Caller, tenantId: TenantId): Promise<TenantRow> {
  const tenant = await ctx.db.tenant(tenantId, (tx) => activeTenant(ctx, tx, caller, tenantId));
  if (tenant) return tenant;
  throw new Refusal("not_found", "TENANT_NOT_FOUND", "there is no such tenant", {
    field: "tenant_id",
    objectId: tenantId,
    remedy: "list the tenants you may see",
  });
}

/** Undefined when the tenant does not exist, its row cannot be trusted, or it is not active. */
export async function activeTenant(
  ctx: AuthContext,
  tx: Tx,
  caller: Caller,
  tenantId: TenantId,
): Promise<TenantRow | undefined> {
  const row = await findTenant(tx, tenantId);
  const [tenant] = await trustedTenants(ctx, tx, caller, row ? [row] : []);
  return tenant?.status === Status.ACTIVE ? tenant : undefined;
}
