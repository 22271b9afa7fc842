import { pathOf } from "@cloudvlan/kit/access";
import type { AuditLog } from "@cloudvlan/kit/audit";
import type { Caller } from "@cloudvlan/kit/caller";
import type { Clock } from "@cloudvlan/kit/clock";
import type { Database } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import type { NodeId, TenantId } from "@cloudvlan/kit/ids";
import { NetmapService, type ReportEndpointsRequest } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import type { NetmapConfig } from "../config.ts";
import { hintOf } from "../domain/endpoints.ts";
import { readEndpoint, writeEndpoint } from "../endpoint-store.ts";
import type { Locate } from "./locate.ts";

export interface ReportDeps {
  readonly config: NetmapConfig;
  readonly clock: Clock;
  readonly db: Database;
  readonly audit: AuditLog;
  readonly locate: Locate;
  readonly limit: (nodeId: NodeId) => void;
}

/**
 * Keeps where a node says it can be reached. A report that says the same only prolongs the former one, and that only
 * once half of its time is over: it costs nobody anything.
 */
export async function reportEndpoints(
  deps: ReportDeps,
  request: ReportEndpointsRequest,
  node: { tenantId: TenantId; nodeId: NodeId },
  caller: Caller,
): Promise<void> {
  deps.limit(node.nodeId);
  const hint = hintOf(node.nodeId, request.endpoints);
  const scope = await deps.locate(node);
  const lifeMs = deps.config.endpoint_seconds * 1000;
  await deps.db.tenant(node.tenantId, async (tx) => {
    const now = deps.clock.nowMs();
    const former = await readEndpoint(tx, scope, node.nodeId);
    const isSame = former !== undefined && Buffer.compare(former.hint, hint) === 0;
    if (isSame && former.expiresAt.getTime() - now > lifeMs / 2) return;
    await writeEndpoint(tx, scope, node.nodeId, hint, new Date(now + lifeMs));
    if (!isSame) await deps.audit.record(tx, caller, { action: ACTION, objectId: node.nodeId, outcome: "ok" });
  });
}

const ACTION = pathOf(NetmapService.method.reportEndpoints);

/** Counts reports by node and minute; what it remembers is of one minute. */
export function reportLimit(config: NetmapConfig, clock: Clock): (nodeId: NodeId) => void {
  let minute = 0;
  const counts = new Map<NodeId, number>();
  return (nodeId) => {
    const now = Math.floor(clock.monotonicMs() / 60_000);
    if (now !== minute) {
      minute = now;
      counts.clear();
    }
    const count = (counts.get(nodeId) ?? 0) + 1;
    if (count > config.reports_per_minute) {
      throw new Refusal(
        "exhausted",
        "ENDPOINT_REPORTS_TOO_FREQUENT",
        `a node reports at most ${config.reports_per_minute} times a minute`,
        {
          remedy: "report when endpoints change, at most a few times a minute",
        },
      );
    }
    counts.set(nodeId, count);
  };
}
