import type { CvlanId, TenantId } from "@cloudvlan/kit/ids";

/** One cvlan of one tenant: what a map is of. */
export interface Scope {
  readonly tenantId: TenantId;
  readonly cvlanId: CvlanId;
}
