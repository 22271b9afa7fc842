import { create } from "@bufbuild/protobuf";
import { PrefixSchema, type RuleSelector, RuleSelectorSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { PolicyTarget } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import {
  type ResolveTargetsRequest,
  type ResolveTargetsResponse,
  ResolveTargetsResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { parsePrefix } from "@cloudvlan/kit/net";
import type { RegistryDeps } from "../deps.ts";
import { groupSelector, tagSelector } from "../domain/selectors.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { groupsNamed } from "../store/groups.ts";
import { nodesNamed } from "../store/nodes.ts";
import { knownTags } from "../store/tags.ts";
import { tenantOf } from "./request.ts";

/** What the names of one cvlan stand for. */
interface Names {
  readonly cvlanId: string;
  readonly groups: ReadonlyMap<string, string>;
  readonly nodes: ReadonlyMap<string, string>;
  readonly tags: ReadonlySet<string>;
}

export async function resolveTargets(
  deps: RegistryDeps,
  request: ResolveTargetsRequest,
): Promise<ResolveTargetsResponse> {
  const tenantId = tenantOf(request);
  const wanted = (kind: "group" | "node"): string[] => [
    ...new Set(request.targets.flatMap(({ target }) => (target.case === kind ? [target.value] : []))),
  ];
  const asksTags = request.targets.some(({ target }) => target.case === "tag");
  const names = await deps.db.tenant(tenantId, async (tx): Promise<Names> => {
    const { id: cvlanId } = await requireCvlan(tx, deps.seals, tenantId, request.cvlanId);
    return {
      cvlanId,
      groups: await groupsNamed(tx, deps.seals, tenantId, cvlanId, wanted("group")),
      nodes: await nodesNamed(tx, deps.seals, tenantId, cvlanId, wanted("node")),
      tags: asksTags ? await knownTags(tx, tenantId, cvlanId) : new Set(),
    };
  });
  return create(ResolveTargetsResponseSchema, {
    targets: request.targets.map((target) => {
      const selector = selectorOf(deps, names, target);
      return selector ? { selector: create(RuleSelectorSchema, { selector }) } : {};
    }),
  });
}

function selectorOf(deps: RegistryDeps, names: Names, { target }: PolicyTarget): RuleSelector["selector"] | undefined {
  switch (target.case) {
    case "any":
      return { case: "any", value: true };
    case "group": {
      const id = names.groups.get(target.value);
      return id === undefined ? undefined : { case: "selectorId", value: groupSelector(id) };
    }
    case "tag": {
      if (!names.tags.has(target.value)) return undefined;
      const at = target.value.indexOf("=");
      const [key, value] = [target.value.slice(0, at), target.value.slice(at + 1)];
      return { case: "selectorId", value: tagSelector(deps.keys, names.cvlanId, key, value) };
    }
    case "node": {
      const id = names.nodes.get(target.value);
      return id === undefined ? undefined : { case: "nodeId", value: id };
    }
    case "cidr": {
      const prefix = parsePrefix(target.value);
      return prefix && { case: "prefix", value: create(PrefixSchema, prefix) };
    }
    case undefined:
      return undefined;
  }
}
