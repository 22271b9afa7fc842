import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type ListPresenceRequest,
  type ListPresenceResponse,
  ListPresenceResponseSchema,
} from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import type { Database } from "@cloudvlan/kit/db";
import { requireId } from "@cloudvlan/kit/ids";
import { presenceOf } from "../presence-store.ts";

/** Says nothing of nodes that are not the tenant's, nor of those that never opened a stream. */
export async function listPresence(db: Database, request: ListPresenceRequest): Promise<ListPresenceResponse> {
  const tenantId = requireId("tenant", request.tenantId, "tenant_id");
  const cvlanId = requireId("cvlan", request.cvlanId, "cvlan_id");
  const known = await db.tenant(tenantId, (tx) => presenceOf(tx, { tenantId, cvlanId }, request.nodeIds));
  const nodes = request.nodeIds.flatMap((id) => {
    const found = known.get(id);
    if (!found) return [];
    const { nodeId, online, since, lastSeen, revision } = found;
    return { nodeId, online, since: timestampFromDate(since), lastSeen: timestampFromDate(lastSeen), revision };
  });
  return create(ListPresenceResponseSchema, { nodes });
}
