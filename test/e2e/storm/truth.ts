import assert from "node:assert/strict";
import { JoinTokenStatus } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import type { ListMeta, Pagination } from "@cloudvlan/gen/entity/v1/common_pb.js";
import type { NodeRecord } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Node } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { EnrollmentService, GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { formatAddress, formatPrefix } from "@cloudvlan/kit/net";
import { createClient, type Transport } from "@connectrpc/connect";
import type { SiteTenant } from "../site/tenant.ts";
import type { NodeMap } from "./follower.ts";
import type { Ledger } from "./ledger.ts";

/** What the API says in the end. */
export interface Truth {
  readonly nodes: readonly Node[];
  /** Port of the rule that tells policies apart. */
  readonly policy: string;
  readonly groups: ReadonlySet<string>;
  /** `unused` or `revoked`, by id. */
  readonly tokens: ReadonlyMap<string, string>;
}

async function all<T>(
  page: (pagination: Omit<Pagination, "$typeName">) => Promise<{ items: T[]; meta: ListMeta | undefined }>,
): Promise<T[]> {
  const found: T[] = [];
  let pageToken = "";
  do {
    const { items, meta } = await page({ pageSize: 1_000, pageToken });
    found.push(...items);
    pageToken = meta?.nextPageToken ?? "";
  } while (pageToken !== "");
  return found;
}

export async function truthOf(api: Transport, { tenantId, cvlanId }: SiteTenant): Promise<Truth> {
  const scope = { tenantId, cvlanId };
  const nodes = await all(async (pagination) => {
    const { nodes: items, meta } = await createClient(NodeService, api).listNodes({ ...scope, pagination });
    return { items, meta };
  });
  const groups = await all(async (pagination) => {
    const { groups: items, meta } = await createClient(GroupService, api).listGroups({ ...scope, pagination });
    return { items, meta };
  });
  const tokens = await all(async (pagination) => {
    const { tokens: items, meta } = await createClient(EnrollmentService, api).listJoinTokens({ ...scope, pagination });
    return { items, meta };
  });
  const { policy } = await createClient(PolicyService, api).getPolicy(scope);
  const status = (value: JoinTokenStatus): string => (value === JoinTokenStatus.UNUSED ? "unused" : "revoked");
  return {
    nodes,
    policy: String(policy?.document?.rules.find(({ name }) => name === "blue")?.ports[0]?.first ?? "none"),
    groups: new Set(groups.map(({ group }) => group?.name ?? "")),
    tokens: new Map(tokens.map((token) => [token.id, status(token.status)])),
  };
}

/** The value that the truth gives an object of the ledger. */
function valueOf(truth: Truth, object: string): string {
  const member = /^(node_\S+) in (group_\S+)$/.exec(object);
  if (member) {
    const groupIds = truth.nodes.find(({ id }) => id === member[1])?.groupIds ?? [];
    return groupIds.includes(member[2] ?? "") ? "in" : "out";
  }
  if (object === "policy") return truth.policy;
  if (object.startsWith("node_")) return truth.nodes.find(({ id }) => id === object)?.tags["round"] ?? "none";
  if (object.startsWith("jointoken_")) return truth.tokens.get(object) ?? "none";
  return truth.groups.has(object) ? "there" : "gone";
}

/** Objects that are what they cannot be: an acknowledged write is lost, or there is one that nobody made. Each a sentence. */
export function contradictions(truth: Truth, ledger: Ledger): string[] {
  return [...ledger.objects].flatMap((object) => {
    const possible = ledger.possible(object);
    const value = valueOf(truth, object);
    return possible?.has(value) ? [] : [`${object} is ${value}, and can only be ${[...(possible ?? [])].join(" or ")}`];
  });
}

function recordOf(record: NodeRecord) {
  return {
    id: record.nodeId,
    name: record.name,
    addresses: record.addresses.map(({ address }) => formatAddress(address)),
    key: Buffer.from(record.wireguardPublicKey).toString("base64"),
    routes: record.routes.map(formatPrefix),
    selectors: record.selectors.length,
  };
}

function nodeOf(node: Node): ReturnType<typeof recordOf> {
  return {
    id: node.id,
    name: node.name,
    addresses: node.addresses,
    key: Buffer.from(node.wireguardPublicKey).toString("base64"),
    routes: node.routes.map(({ prefix }) => prefix),
    selectors: Object.keys(node.tags).length + node.groupIds.length,
  };
}

const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);

/** Checks a node's map against the truth: each team sees itself and its rule, and everybody sees itself. */
export function assertTrue(map: NodeMap, nodeId: string, { nodes, policy }: Truth): void {
  const team = nodes.find(({ id }) => id === nodeId)?.tags["team"];
  const visible = nodes.filter(({ id, tags }) => id === nodeId || (team !== undefined && tags["team"] === team));
  assert.deepEqual([...map.nodes.values()].map(recordOf).toSorted(byId), visible.map(nodeOf).toSorted(byId));
  assert.deepEqual([...map.rules.keys()], team === undefined ? [] : [team]);
  if (team === "blue") assert.equal(String(map.rules.get("blue")?.ports[0]?.first), policy);
}
