import { Refusal } from "@cloudvlan/kit/errors";
import { type Id, type IdKind, isId, type TenantId } from "@cloudvlan/kit/ids";

/** The tenant of a request of tenant scope. @throws Refusal `invalid` when it is no tenant id. */
export function tenantOf(request: { readonly tenantId: string }): TenantId {
  return idOf("tenant", "tenant_id", request.tenantId);
}

/** @throws Refusal `invalid` naming the field. */
export function idOf<K extends IdKind>(kind: K, field: string, value: string): Id<K> {
  if (isId(kind, value)) return value;
  throw new Refusal("invalid", "ID_MALFORMED", `${field} is no ${kind} id`, {
    field,
    remedy: `give it as ${kind}_<uuid>`,
  });
}
