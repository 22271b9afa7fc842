import { create } from "@bufbuild/protobuf";
import type { Node } from "@cloudvlan/gen/entity/v1/node_pb.js";
import {
  type GetNodeRequest,
  type ListNodesRequest,
  type ListNodesResponse,
  ListNodesResponseSchema,
  NodeService,
  type UpdateNodeRequest,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import type { Caller } from "@cloudvlan/kit/caller";
import type { RegistryDeps } from "../deps.ts";
import { checkRoutes } from "../domain/routes.ts";
import { groupsAmong } from "../domain/selectors.ts";
import { type CvlanRow, requireCvlan } from "../store/cvlans.ts";
import { groupsOf } from "../store/groups.ts";
import {
  listNodes as listRows,
  lockActiveNode,
  nameTaken,
  nodeConflict,
  type NodeRow,
  requireNode,
  takenNames,
} from "../store/nodes.ts";
import { pageOf, splitPage } from "@cloudvlan/kit/page";
import { publishNode } from "./publish.ts";
import { tenantOf } from "./request.ts";
import { nodeOf } from "./wire.ts";

export async function getNode(deps: RegistryDeps, request: GetNodeRequest): Promise<Node> {
  const tenantId = tenantOf(request);
  return deps.db.tenant(tenantId, async (tx) => {
    const row = await requireNode(tx, deps.seals, tenantId, request.nodeId);
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, row.cvlanId);
    const groups = await groupsOf(tx, deps.seals, tenantId, [row.id]);
    return nodeOf(deps.clusterId, cvlan, row, groups.get(row.id) ?? []);
  });
}

export async function listNodes(deps: RegistryDeps, request: ListNodesRequest): Promise<ListNodesResponse> {
  const tenantId = tenantOf(request);
  const page = pageOf("node", request.pagination);
  return deps.db.tenant(tenantId, async (tx) => {
    if (request.cvlanId !== "") await requireCvlan(tx, deps.seals, tenantId, request.cvlanId);
    const { rows, meta } = splitPage(page, await listRows(tx, tenantId, request, page));
    const genuine = rows.filter((row) => deps.seals.open("node", row));
    const groups = await groupsOf(
      tx,
      deps.seals,
      tenantId,
      genuine.map((row) => row.id),
    );
    const cvlans = new Map<string, CvlanRow>();
    for (const { cvlanId } of genuine) {
      if (!cvlans.has(cvlanId)) cvlans.set(cvlanId, await requireCvlan(tx, deps.seals, tenantId, cvlanId));
    }
    const nodes = genuine.flatMap((row) => {
      const cvlan = cvlans.get(row.cvlanId);
      return cvlan ? [nodeOf(deps.clusterId, cvlan, row, groups.get(row.id) ?? [])] : [];
    });
    return create(ListNodesResponseSchema, { nodes, meta });
  });
}

/** A repetition changes nothing and tells nobody. */
export async function updateNode(deps: RegistryDeps, request: UpdateNodeRequest, caller: Caller): Promise<Node> {
  const tenantId = tenantOf(request);
  try {
    return await deps.enrolKeys.signing(tenantId, async (tx, key) => {
      const { node: current, record } = await lockActiveNode(tx, deps.seals, key, tenantId, request.nodeId);
      const cvlan = await requireCvlan(tx, deps.seals, tenantId, current.cvlanId);
      const groupIds = groupsAmong(deps.keys, current, record.selectors);
      const wanted: NodeRow = {
        ...current,
        name: request.name ?? current.name,
        tags: request.tags ? { ...request.tags.tags } : current.tags,
        routes: request.routes ? routesOf(request.routes.routes, cvlan) : current.routes,
      };
      if (wanted.name !== current.name && (await takenNames(tx, tenantId, cvlan.id, [wanted.name])).size > 0) {
        throw nameTaken(wanted.name);
      }
      const field = request.routes ? "routes.routes" : request.tags ? "tags.tags" : "name";
      const row = isSame(current, wanted) ? current : await publishNode(deps, tx, key, cvlan, wanted, groupIds, field);
      await deps.audit.record(tx, caller, {
        action: pathOf(NodeService.method.updateNode),
        objectId: row.id,
        outcome: "ok",
      });
      return nodeOf(deps.clusterId, cvlan, row, groupIds);
    });
  } catch (error) {
    throw nodeConflict(error, request.name ?? "");
  }
}

function routesOf(routes: readonly { readonly prefix: string }[], cvlan: CvlanRow): string[] {
  return checkRoutes(
    routes.map((route) => route.prefix),
    cvlan,
  );
}

function isSame(a: NodeRow, b: NodeRow): boolean {
  const form = ({ name, tags, routes }: NodeRow): string =>
    JSON.stringify([name, Object.entries(tags).toSorted(([x], [y]) => (x < y ? -1 : 1)), routes]);
  return form(a) === form(b);
}
