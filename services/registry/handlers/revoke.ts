import { type Node, NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { NodeService, type RevokeNodeRequest } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import type { Caller } from "@cloudvlan/kit/caller";
import { isId, type TenantId } from "@cloudvlan/kit/ids";
import type { RegistryDeps } from "../deps.ts";
import { release } from "../store/addresses.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { addPendingDenial, listPendingDenials, removePendingDenial } from "../store/denials.ts";
import { groupsOf, removeFromAllGroups } from "../store/groups.ts";
import { lockNode, updateNode } from "../store/nodes.ts";
import { databaseNow } from "../store/time.ts";
import { publishRemoval } from "./publish.ts";
import { tenantOf } from "./request.ts";
import { nodeOf } from "./wire.ts";

/**
 * Ends a membership here in one transaction, then has auth deny the identity. When the second half is lost the node stays
 * listed in `pending_denial`, and `redriveDenials` finishes it.
 */
export async function revokeNode(deps: RegistryDeps, request: RevokeNodeRequest, caller: Caller): Promise<Node> {
  const tenantId = tenantOf(request);
  const node = await deps.db.tenant(tenantId, async (tx) => {
    const current = await lockNode(tx, deps.seals, tenantId, request.nodeId);
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, current.cvlanId);
    const entry = { action: pathOf(NodeService.method.revokeNode), objectId: current.id, outcome: "ok" };
    if (current.status === NodeStatus.REVOKED) {
      await deps.audit.record(tx, caller, entry);
      return nodeOf(deps.clusterId, cvlan, current, []);
    }
    const revokedAt = await databaseNow(tx);
    const groupIds = (await groupsOf(tx, deps.seals, tenantId, [current.id])).get(current.id) ?? [];
    const row = await updateNode(tx, deps.seals, { ...current, status: NodeStatus.REVOKED, revokedAt });
    await removeFromAllGroups(tx, tenantId, row.id);
    await release(tx, deps.seals, row, revokedAt);
    await addPendingDenial(tx, row, revokedAt);
    if (current.status === NodeStatus.ACTIVE) await publishRemoval(deps, tx, row);
    await deps.audit.record(tx, caller, entry);
    return nodeOf(deps.clusterId, cvlan, row, groupIds);
  });
  // Also when it is not pending: auth answers a repetition without effect, and a denial that was lost comes back.
  await deny(deps, tenantId, node.id);
  return node;
}

async function deny(deps: RegistryDeps, tenantId: TenantId, nodeId: string): Promise<void> {
  await deps.auth.deny({ tenantId, nodeId });
  await deps.db.tenant(tenantId, (tx) => removePendingDenial(tx, nodeId));
}

/** Denials taken up at once. */
const BATCH = 100;

/** Finishes revocations whose second half was lost. @returns how many. */
export async function redriveDenials(deps: RegistryDeps, signal: AbortSignal): Promise<number> {
  let done = 0;
  let failed = 0;
  // Those that fail stay listed, and are passed over so that they keep nobody waiting.
  for (;;) {
    const skip = failed;
    const pending = await deps.db.platform((tx) => listPendingDenials(tx, BATCH, skip));
    for (const { nodeId, owner } of pending) {
      if (signal.aborted) return done;
      if (await redrive(deps, nodeId, owner)) done++;
      else failed++;
    }
    if (pending.length < BATCH) return done;
  }
}

async function redrive(deps: RegistryDeps, nodeId: string, owner: string): Promise<boolean> {
  if (!isId("tenant", owner)) {
    deps.log.error({ object_id: nodeId }, "a pending denial names no tenant; it is left alone");
    return false;
  }
  try {
    await deny(deps, owner, nodeId);
    return true;
  } catch (error) {
    deps.log.warn({ error, tenant_id: owner, node_id: nodeId }, "a revoked node is not denied yet");
    return false;
  }
}
