import type { Signed } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import type { Caller, ServiceName } from "@cloudvlan/kit/caller";
import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import type { TenantId } from "@cloudvlan/kit/ids";
import { tenantSuspended } from "@cloudvlan/kit/server";
import { readRootTransitions } from "../root-key.ts";
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

export function tenantNotFound(tenantId: TenantId): Refusal {
  return new Refusal("not_found", "TENANT_NOT_FOUND", "there is no such tenant", {
    field: "tenant_id",
    objectId: tenantId,
    remedy: "list the tenants you may see",
  });
}

/**
 * A tenant that is there, be it suspended: what it has is read, and what its nodes live by is kept up.
 * @throws Refusal when the tenant does not exist or was deleted, or its row cannot be trusted.
 */
export async function requireTenant(ctx: AuthContext, caller: Caller, tenantId: TenantId): Promise<TenantRow> {
  const tenant = await ctx.db.tenant(tenantId, (tx) => presentTenant(ctx, tx, caller, tenantId));
  if (tenant) return tenant;
  throw tenantNotFound(tenantId);
}

/** A tenant that may get something new. @throws Refusal as above, and when it is suspended. */
export async function requireActiveTenant(ctx: AuthContext, caller: Caller, tenantId: TenantId): Promise<TenantRow> {
  const tenant = await requireTenant(ctx, caller, tenantId);
  if (tenant.status === Status.SUSPENDED) throw tenantSuspended(tenantId);
  return tenant;
}

/**
 * A tenant and what leads to its root key.
 * @throws Refusal as `requireTenant`, Error when what is stored does not lead there.
 */
export async function requireRoots(
  ctx: AuthContext,
  caller: Caller,
  tenantId: TenantId,
): Promise<{ readonly tenant: TenantRow; readonly transitions: Signed[] }> {
  for (let attempt = 0; attempt < KEYSET_ATTEMPTS; attempt++) {
    const tenant = await requireTenant(ctx, caller, tenantId);
    // Two statements see two moments: the root key may be replaced between them.
    const transitions = await ctx.db.tenant(tenantId, (tx) => readRootTransitions(tx, tenant));
    if (transitions) return { tenant, transitions };
  }
  throw new Error(`the root transitions of ${tenantId} do not lead to the root key that its row names`);
}

/** Undefined when the tenant does not exist or was deleted, or its row cannot be trusted. */
export async function presentTenant(
  ctx: AuthContext,
  tx: Tx,
  caller: Caller,
  tenantId: TenantId,
): Promise<TenantRow | undefined> {
  const row = await findTenant(tx, tenantId);
  const [tenant] = await trustedTenants(ctx, tx, caller, row ? [row] : []);
  return tenant && isPresent(tenant) ? tenant : undefined;
}

export function isPresent({ status }: TenantRow): boolean {
  return status === Status.ACTIVE || status === Status.SUSPENDED;
}
