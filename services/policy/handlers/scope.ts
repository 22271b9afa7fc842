import { requireId } from "@cloudvlan/kit/ids";
import type { Scope } from "../domain/compile.ts";

/** @throws Refusal `invalid` naming the id that is not well-formed. */
export function scopeOf({ tenantId, cvlanId }: { tenantId: string; cvlanId: string }): Scope {
  return { tenantId: requireId("tenant", tenantId, "tenant_id"), cvlanId: requireId("cvlan", cvlanId, "cvlan_id") };
}
