import { Refusal } from "@cloudvlan/kit/errors";
import { isId } from "@cloudvlan/kit/ids";
import type { Scope } from "../domain/compile.ts";

/** @throws Refusal `invalid` naming the id that is not well-formed. */
export function scopeOf({ tenantId, cvlanId }: { tenantId: string; cvlanId: string }): Scope {
  if (!isId("tenant", tenantId)) throw malformed("tenant_id", "tenant_<uuid>");
  if (!isId("cvlan", cvlanId)) throw malformed("cvlan_id", "cvlan_<uuid>");
  return { tenantId, cvlanId };
}

function malformed(field: string, form: string): Refusal {
  return new Refusal("invalid", "ID_MALFORMED", `${field} is not a well-formed id`, { field, remedy: `write ${form}` });
}
