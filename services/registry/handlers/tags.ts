import { create } from "@bufbuild/protobuf";
import {
  type ListTagsRequest,
  type ListTagsResponse,
  ListTagsResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import type { RegistryDeps } from "../deps.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { countTags } from "../store/tags.ts";
import { tenantOf } from "./request.ts";

export async function listTags(deps: RegistryDeps, request: ListTagsRequest): Promise<ListTagsResponse> {
  const tenantId = tenantOf(request);
  return deps.db.tenant(tenantId, async (tx) => {
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, request.cvlanId);
    const counted = await countTags(tx, tenantId, cvlan.id);
    return create(ListTagsResponseSchema, {
      tags: counted.map(({ key, value, nodes }) => ({ tag: { key, value }, nodes: BigInt(nodes) })),
    });
  });
}
