import type { NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { type CvlanId, isId, type NodeId, type TenantId } from "@cloudvlan/kit/ids";
import type { Client } from "@connectrpc/connect";
import type { Scope } from "../domain/scope.ts";
import { nodeRevoked, nodeUnknown } from "../live/refusals.ts";

/** Nodes whose cvlan is remembered; the ones asked for longest ago are forgotten first. */
const REMEMBERED = 200_000;

/**
 * Finds the cvlan of a node: its certificate names only tenant and node. A node never changes its cvlan.
 * @throws Refusal `denied` when registry knows no such member.
 */
export type Locate = (node: { tenantId: TenantId; nodeId: NodeId }) => Promise<Scope>;

export function locator(nodes: Pick<Client<typeof NodeService>, "getNode">): Locate {
  // By tenant too: a certificate that names another tenant's node is of no member.
  const known = new Map<string, CvlanId>();
  return async ({ tenantId, nodeId }) => {
    const key = `${tenantId} ${nodeId}`;
    const remembered = known.get(key);
    if (remembered) return { tenantId, cvlanId: remembered };
    const cvlanId = await ask(nodes, tenantId, nodeId);
    known.set(key, cvlanId);
    const [oldest] = known.keys();
    if (known.size > REMEMBERED && oldest) known.delete(oldest);
    return { tenantId, cvlanId };
  };
}

async function ask(
  nodes: Pick<Client<typeof NodeService>, "getNode">,
  tenantId: TenantId,
  nodeId: NodeId,
): Promise<CvlanId> {
  try {
    const { node } = await nodes.getNode({ tenantId, nodeId });
    if (!node || !isId("cvlan", node.cvlanId)) throw new Error("registry answered without the node's cvlan");
    if (node.status === NodeStatus.REVOKED) throw nodeRevoked(nodeId);
    return node.cvlanId;
  } catch (error) {
    if (error instanceof Refusal && error.kind === "not_found") throw nodeUnknown(nodeId);
    throw error;
  }
}
