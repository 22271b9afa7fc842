import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { create } from "@bufbuild/protobuf";
import { RevokeNodeRequestSchema } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import type { NodeId, TenantId } from "@cloudvlan/kit/ids";
import { parseSpiffe } from "@cloudvlan/kit/pki";
import { eq, and } from "drizzle-orm";
import type { RegistryDeps } from "../deps.ts";
import { nodes } from "../schema.ts";
import { itself } from "./itself.ts";
import { revokeNode } from "./revoke.ts";

/**
 * Ends memberships whose identities this worker knows to be denied: in a database that was restored from a backup they
 * stand as if nothing had happened.
 * @param subjects denied in former lives of the worker.
 * @returns how many were ended.
 */
export async function endDeniedBefore(
  deps: RegistryDeps,
  subjects: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  let ended = 0;
  for (const subject of subjects) {
    if (signal.aborted) break;
    const id = parseSpiffe(subject);
    if (id?.kind !== "node" || id.trustDomain !== deps.clusterId) continue;
    if (!(await isMember(deps, id.tenantId, id.nodeId))) continue;
    const request = create(RevokeNodeRequestSchema, { tenantId: id.tenantId, nodeId: id.nodeId });
    await revokeNode(deps, request, itself());
    deps.log.info({ tenant_id: id.tenantId, node_id: id.nodeId }, "a membership of a denied identity was ended");
    ended += 1;
  }
  return ended;
}

async function isMember({ db }: RegistryDeps, tenantId: TenantId, nodeId: NodeId): Promise<boolean> {
  const [row] = await db.tenant(tenantId, (tx) =>
    tx
      .select({ status: nodes.status })
      .from(nodes)
      .where(and(eq(nodes.tenantId, tenantId), eq(nodes.id, nodeId))),
  );
  return row !== undefined && row.status !== NodeStatus.REVOKED;
}
