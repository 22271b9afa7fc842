import { create } from "@bufbuild/protobuf";
import {
  type WatchChangesRequest,
  type WatchChangesResponse,
  WatchChangesResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import type { RegistryDeps } from "../deps.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { tenantOf } from "./request.ts";

/** Node records of a cvlan from a cursor on, until the signal; while somebody follows, they stay valid. */
export async function* watchChanges(
  deps: RegistryDeps,
  request: WatchChangesRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchChangesResponse> {
  const tenantId = tenantOf(request);
  const cvlan = await deps.db.tenant(tenantId, (tx) => requireCvlan(tx, deps.seals, tenantId, request.cvlanId));
  deps.enrolKeys.keep(tenantId);
  for await (const batch of deps.changes.watch(tenantId, cvlan.id, request.since, signal)) {
    yield create(WatchChangesResponseSchema, batch);
  }
}
