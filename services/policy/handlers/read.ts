import { create } from "@bufbuild/protobuf";
import { type Policy, PolicyDocumentSchema, PolicySchema } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import {
  type GetPolicyRequest,
  type WatchChangesRequest,
  type WatchChangesResponse,
  WatchChangesResponseSchema,
} from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { readDocument } from "../store.ts";
import { type PolicyDeps, policyOf } from "./apply.ts";
import { scopeOf } from "./scope.ts";

/** Version 0 without rules when none was applied. A document that somebody else wrote into the database is absent. */
export async function getPolicy(deps: PolicyDeps, request: GetPolicyRequest): Promise<Policy> {
  const scope = scopeOf(request);
  const stored = await deps.db.tenant(scope.tenantId, (tx) => readDocument(tx, deps.keys, scope));
  if (stored === "broken") {
    deps.log.error(
      { ...scope },
      "the policy document in the database was not written by this service; it is treated as absent",
    );
  }
  if (stored === undefined || stored === "broken" || stored.version === 0n) {
    return create(PolicySchema, { ...scope, clusterId: deps.clusterId, document: create(PolicyDocumentSchema) });
  }
  return policyOf(deps.clusterId, scope, stored);
}

/** Rules and manifest of a cvlan from a cursor on, until the signal; while somebody follows, they stay valid. */
export async function* watchChanges(
  { changes, policyKeys }: Pick<PolicyDeps, "changes" | "policyKeys">,
  request: WatchChangesRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchChangesResponse> {
  const { tenantId, cvlanId } = scopeOf(request);
  policyKeys.keep(tenantId);
  for await (const batch of changes.watch(tenantId, cvlanId, request.since, signal)) {
    yield create(WatchChangesResponseSchema, { changes: batch.changes, revision: batch.revision });
  }
}
