import { create } from "@bufbuild/protobuf";
import type { Change } from "@cloudvlan/gen/entity/v1/events_pb.js";
import {
  type WatchChangesRequest,
  type WatchChangesResponse,
  WatchChangesResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import type { TenantId } from "@cloudvlan/kit/ids";
import type { RegistryDeps } from "../deps.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { effective } from "./effective.ts";
import { tenantOf } from "./request.ts";

/** Records of a cvlan from a cursor on, until the signal; while somebody follows, they stay valid. */
export async function* watchChanges(
  deps: RegistryDeps,
  request: WatchChangesRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchChangesResponse> {
  const tenantId = tenantOf(request);
  const cvlan = await deps.db.tenant(tenantId, (tx) => requireCvlan(tx, deps.seals, tenantId, request.cvlanId));
  deps.enrolKeys.keep(tenantId);
  for await (const { changes, revision } of deps.changes.watch(tenantId, cvlan.id, request.since, signal)) {
    const told: Change[] = [];
    for (const change of changes) {
      told.push(change.change.case === "settings" ? await verified(deps, tenantId, cvlan.id, change) : change);
    }
    yield create(WatchChangesResponseSchema, { changes: told, revision });
  }
}

/** Settings are not signed, and the rows of the stream carry no seal: what is told comes from the rows that do. */
async function verified(deps: RegistryDeps, tenantId: TenantId, cvlanId: string, change: Change): Promise<Change> {
  const value = await deps.db.tenant(tenantId, (tx) => effective(deps, tx, { tenantId, cvlanId }));
  return Object.assign(change, { change: { case: "settings", value } });
}
