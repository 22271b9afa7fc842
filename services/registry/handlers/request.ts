import { requireId, type TenantId } from "@cloudvlan/kit/ids";

/** The tenant of a request of tenant scope. @throws Refusal `invalid` when it is no tenant id. */
export function tenantOf(request: { readonly tenantId: string }): TenantId {
  return requireId("tenant", request.tenantId, "tenant_id");
}
