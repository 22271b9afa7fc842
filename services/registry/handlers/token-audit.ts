import { EnrollmentService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import type { Caller } from "@cloudvlan/kit/caller";
import type { Refusal } from "@cloudvlan/kit/errors";
import { isId } from "@cloudvlan/kit/ids";
import type { RegistryDeps } from "../deps.ts";
import { hasCvlan } from "../store/cvlans.ts";

const MINUTE_MS = 60_000;
/** Rows a minute in all: whoever knows a tenant's id may otherwise fill its log without any secret. */
const MOST_ROWS = 600;

/** Records refused joins in the tenant they name. */
export type RefusedJoins = (caller: Caller, tenantId: string, tokenId: string, refusal: Refusal) => Promise<void>;

/** Past the bound, and for a tenant that has nothing here, refusals are counted in one log line a minute. */
export function refusedJoins(deps: RegistryDeps): RefusedJoins {
  let windowStart = deps.clock.monotonicMs();
  let written = 0;
  let counted = 0;

  return async (caller, tenantId, tokenId, refusal) => {
    const now = deps.clock.monotonicMs();
    if (now - windowStart >= MINUTE_MS) {
      if (counted > 0) deps.log.warn({ refused: counted }, "joins refused without a row in a tenant's audit log");
      [windowStart, written, counted] = [now, 0, 0];
    }
    if (!isId("tenant", tenantId) || written >= MOST_ROWS) {
      counted++;
      return;
    }
    written++;
    const recorded = await deps.db.tenant(tenantId, async (tx) => {
      if (!(await hasCvlan(tx, tenantId))) return false;
      await deps.audit.record(tx, caller, {
        action: pathOf(EnrollmentService.method.join),
        objectId: isId("jointoken", tokenId) ? tokenId : "",
        outcome: refusal.detail.auditReason ?? refusal.reason,
      });
      return true;
    });
    if (!recorded) counted++;
  };
}
