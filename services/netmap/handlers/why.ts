import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Hop } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { EndpointHintSchema, type StalePolicy } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type Node, NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { type WhyRequest, type WhyResponse, WhyResponseSchema } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import type { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import type { NodeService, RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import type { Caller } from "@cloudvlan/kit/caller";
import { Refusal } from "@cloudvlan/kit/errors";
import { isId, requireId } from "@cloudvlan/kit/ids";
import { formatAddress, parseAddress } from "@cloudvlan/kit/net";
import { tenantSuspended } from "@cloudvlan/kit/server";
import type { Client } from "@connectrpc/connect";
import type { NodeEntry } from "../domain/entry.ts";
import type { Scope } from "../domain/scope.ts";
import { answerOf, answerWithout, blockedHop, okHop, type Presence, type RuleLines } from "../domain/why/answer.ts";
import { addressesOf, destinationIn, type End, sameNode, sourceIn } from "../domain/why/ends.ts";
import { questionOf } from "../domain/why/question.ts";
import type { CvlanMap } from "../live/cvlan-map.ts";
import type { Evaluator } from "../live/evaluator.ts";
import type { Maps } from "../live/maps.ts";
import type { Standing } from "../live/standing.ts";
import { notReady } from "../live/refusals.ts";

export interface WhyDeps extends Standing {
  readonly maps: Maps;
  readonly evaluator: Evaluator;
  readonly nodes: Pick<Client<typeof NodeService>, "getNode" | "listNodes">;
  readonly registry: Pick<Client<typeof RegistryService>, "resolveTargets">;
  readonly policy: Pick<Client<typeof PolicyService>, "getPolicy">;
}

/** Longest name of a node. */
const MAX_NAME = 63;
const NEVER: Presence = { online: false, lastSeenMs: undefined };

/** Follows packets from one node to another. */
export async function why(
  deps: WhyDeps,
  request: WhyRequest,
  { authority }: Pick<Caller, "authority">,
  signal: AbortSignal,
): Promise<WhyResponse> {
  const scope: Scope = {
    tenantId: requireId("tenant", request.tenantId, "tenant_id"),
    cvlanId: requireId("cvlan", request.cvlanId, "cvlan_id"),
  };
  // Registry refuses a cvlan that is not the tenant's: no map is opened for one.
  await deps.registry.resolveTargets({ ...scope, targets: [] });
  using lease = await deps.maps.open(scope);
  const { map } = lease;
  await map.catchUp();
  // Nobody of it can talk to anybody; the one cause is not a matter of these two.
  if (map.isSuspended) throw tenantSuspended(scope.tenantId);

  const source = sourceIn(map.visibility, request.source);
  const destination = destinationIn(map.visibility, request.destination);
  if (!source || !destination) return notMembers(deps, scope, map, request, { source, destination });
  const addresses = addressesOf(source, destination);
  const sender = nodesOf(source)[0];
  if (!sender) throw nodeUnknown("source");
  const receivers = nodesOf(destination);
  if (receivers[0]?.id === sender.id) throw sameNode();

  const concerned = [sender, ...receivers].flatMap(({ id, record }) => (record.via === "" ? [id] : [id, record.via]));
  const presence = await deps.presenceOf(scope, concerned);
  const presenceOf = (nodeId: string): Presence => presence.get(nodeId) ?? NEVER;
  const staleOf = (nodeId: string): StalePolicy | undefined => {
    const { online, lastSeenMs } = presenceOf(nodeId);
    return online || lastSeenMs === undefined ? undefined : deps.staleSince(map.settings, lastSeenMs);
  };
  const { visibility, epoch, revision } = map;
  const ground = { visibility, epoch, revision, hintsOf: (ids: readonly string[]) => hintsOf(map, ids), staleOf };
  const question = questionOf(ground, sender, receivers, addresses, request.probes);
  const mayReadPolicy = authority?.permissions.has(Permission.POLICY_READ) ?? false;
  const [{ followings, verdicts }, ruleLines] = await Promise.all([
    deps.evaluator.evaluate(question, signal),
    mayReadPolicy ? ruleLinesOf(deps, scope) : undefined,
  ]);
  const facts = { ...ground, addresses, source: sender, destinations: receivers, presenceOf, ruleLines };
  const answers = followings.map((following, index) => {
    const verdict = verdicts[index];
    if (!verdict) throw new Error("the engine answered without a verdict");
    return answerOf(facts, following, verdict);
  });
  return create(WhyResponseSchema, {
    answers,
    sourceId: sender.id,
    destinationId:
      followings.find(({ destinationId }) => destinationId !== "")?.destinationId ?? receivers[0]?.id ?? "",
    sourceAddress: formatAddress(addresses.source),
    destinationAddress: formatAddress(addresses.destination),
    epoch,
    revision,
  });
}

function nodesOf(end: End): readonly NodeEntry[] {
  return end.kind === "node" ? [end.node] : end.nodes;
}

function hintsOf(map: CvlanMap, nodeIds: readonly string[]) {
  return map.hintsOf(nodeIds).map((bytes) => fromBinary(EndpointHintSchema, bytes));
}

async function ruleLinesOf({ policy }: WhyDeps, scope: Scope): Promise<RuleLines | undefined> {
  const { policy: found } = await policy.getPolicy(scope);
  if (!found?.source) return undefined;
  const { file, ruleLines } = found.source;
  const lines = new Map((found.document?.rules ?? []).flatMap(({ name }, index) => pairOf(name, ruleLines[index])));
  return { file, lines };
}

function pairOf(name: string, line: number | undefined): [string, number][] {
  return line === undefined ? [] : [[name, line]];
}

/** The answer when the map lacks an end: it was revoked, or has not joined yet. @throws Refusal `not_found` otherwise. */
async function notMembers(
  deps: WhyDeps,
  scope: Scope,
  map: CvlanMap,
  request: WhyRequest,
  ends: { readonly source: End | undefined; readonly destination: End | undefined },
): Promise<WhyResponse> {
  const hops: Hop[] = [];
  const ids = { source: "", destination: "" };
  for (const name of ["source", "destination"] as const) {
    const end = ends[name];
    const node = end ? nodesOf(end)[0] : await absentNode(deps, scope, request[name], name);
    ids[name] = node?.id ?? "";
    if (!node) continue;
    hops.push("record" in node ? okHop(name, `is ${node.record.name}`, { nodeId: node.id }) : absentHop(name, node));
  }
  return create(WhyResponseSchema, {
    answers: request.probes.map(() => answerWithout(hops)),
    sourceId: ids.source,
    destinationId: ids.destination,
    epoch: map.epoch,
    revision: map.revision,
  });
}

function absentHop(name: string, { id, name: nodeName, status, revokedAt }: Node) {
  if (status === NodeStatus.REVOKED) {
    const since = revokedAt ? ` at ${timestampDate(revokedAt).toISOString()}` : "";
    const remedy = "join the machine again with a new token, if it is to come back";
    return blockedHop(name, `${nodeName} was revoked${since}`, remedy, { nodeId: id });
  }
  return blockedHop(name, `${nodeName} has not finished its join`, "let the machine finish it", { nodeId: id });
}

/**
 * A node of the cvlan that the map lacks, as registry has it. The same one call whoever asks for whatever.
 * @throws Refusal `not_found` for what does not exist or is not the caller's, `unavailable` for one that is on its way.
 */
async function absentNode(deps: WhyDeps, scope: Scope, text: string, field: string): Promise<Node> {
  if (parseAddress(text) || text.length > MAX_NAME) throw nodeUnknown(field);
  const found = isId("node", text) ? await nodeById(deps, scope, text) : await nodeByName(deps, scope, text);
  if (!found || found.cvlanId !== scope.cvlanId) throw nodeUnknown(field);
  if (found.status === NodeStatus.ACTIVE) throw notReady(found.id);
  return found;
}

async function nodeById({ nodes }: WhyDeps, { tenantId }: Scope, nodeId: string): Promise<Node | undefined> {
  try {
    return (await nodes.getNode({ tenantId, nodeId })).node;
  } catch (error) {
    if (error instanceof Refusal && error.kind === "not_found") return undefined;
    throw error;
  }
}

/** Of several that had the name the last one; ids grow with time. */
async function nodeByName({ nodes }: WhyDeps, scope: Scope, name: string): Promise<Node | undefined> {
  const { nodes: found } = await nodes.listNodes({ ...scope, name, pagination: { pageSize: 1000 } });
  return found.find(({ status }) => status !== NodeStatus.REVOKED) ?? found.at(-1);
}

function nodeUnknown(field: string): Refusal {
  return new Refusal("not_found", "NODE_NOT_FOUND", "there is no such node", {
    field,
    remedy: "see `cvlan node list`",
  });
}
