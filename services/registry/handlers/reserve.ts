import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { EnrollmentService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import type { Caller } from "@cloudvlan/kit/caller";
import { isUniqueViolation, type Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Id, NodeId, TenantId } from "@cloudvlan/kit/ids";
import type { RegistryDeps } from "../deps.ts";
import { nameCandidates } from "../domain/names.ts";
import { judgeToken, tokenRefusal } from "../domain/token.ts";
import { allocate } from "../store/addresses.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { addMember, existingGroups } from "../store/groups.ts";
import { insertNode, lockNode, nodeConflict, takenNames } from "../store/nodes.ts";
import { databaseNow } from "../store/time.ts";
import { findToken, spendToken, type TokenRow } from "../store/tokens.ts";

export interface Joiner {
  readonly tenantId: TenantId;
  readonly tokenId: Id<"jointoken">;
  readonly secret: Uint8Array;
  readonly csrKeySha256: Uint8Array;
  readonly wireguardPublicKey: Uint8Array;
  readonly controlPublicKey: Uint8Array;
  readonly name: string;
  readonly capabilityVersion: number;
}

/** Times a join looks for a name when somebody takes the chosen one meanwhile. */
const NAME_ATTEMPTS = 5;

/**
 * The first half of a join: spends the token and holds a name and an address for its node, or finds the node that the same
 * request key made before.
 * @throws Refusal `unauthenticated` for a token that is not good for this, `exists` for a WireGuard key in use, `exhausted`.
 */
export async function reserve(deps: RegistryDeps, joiner: Joiner, caller: Caller): Promise<{ nodeId: string }> {
  for (let attempt = 1; ; attempt++) {
    try {
      return { nodeId: await deps.db.tenant(joiner.tenantId, (tx) => reserveOnce(deps, tx, joiner, caller)) };
    } catch (error) {
      if (attempt < NAME_ATTEMPTS && isUniqueViolation(error, "node_name")) continue;
      // A spent token whose row somebody put back as it was: its node is still there.
      if (isUniqueViolation(error, "node_pkey") || isUniqueViolation(error, "node_join_token"))
        throw tokenRefusal("TOKEN_USED");
      throw nodeConflict(error, joiner.name);
    }
  }
}

async function reserveOnce(deps: RegistryDeps, tx: Tx, joiner: Joiner, caller: Caller): Promise<string> {
  const now = await databaseNow(tx);
  const token = await readToken(deps, tx, joiner);
  const verdict = judgeToken(token, joiner.secret, joiner.csrKeySha256, now);
  if (verdict === "again") return resume(deps, tx, joiner, token);
  if (verdict !== "new") throw tokenRefusal(verdict);

  // The token's own UUID: whoever puts a spent token's row back gets no second node out of it, only the first one's id.
  const nodeId: NodeId = `node_${joiner.tokenId.slice("jointoken_".length)}`;
  if (!(await spendToken(tx, deps.seals, token, joiner.csrKeySha256, nodeId))) {
    // Somebody was faster; what it was decides, for it may have been this very machine.
    const current = await readToken(deps, tx, joiner);
    const second = judgeToken(current, joiner.secret, joiner.csrKeySha256, now);
    if (second === "again") return resume(deps, tx, joiner, current);
    throw tokenRefusal(second === "new" ? "TOKEN_USED" : second);
  }
  await createNode(deps, tx, joiner, token, nodeId, now);
  await deps.audit.record(tx, caller, {
    action: pathOf(EnrollmentService.method.join),
    objectId: nodeId,
    outcome: "JOINING",
  });
  return nodeId;
}

async function readToken(deps: RegistryDeps, tx: Tx, joiner: Joiner): Promise<TokenRow> {
  const stored = await findToken(tx, joiner.tenantId, joiner.tokenId);
  if (!stored) throw tokenRefusal("TOKEN_UNKNOWN");
  const token = deps.seals.open("join_token", stored);
  if (!token) throw tokenRefusal("TOKEN_SEAL_BROKEN");
  return token;
}

async function createNode(
  deps: RegistryDeps,
  tx: Tx,
  joiner: Joiner,
  token: TokenRow,
  nodeId: NodeId,
  now: Date,
): Promise<void> {
  const { tenantId } = joiner;
  const cvlan = await requireCvlan(tx, deps.seals, tenantId, token.cvlanId);
  const quarantineMs = 1000 * deps.config.address_quarantine_seconds;
  const address = await allocate(tx, deps.seals, cvlan, new Date(now.getTime() - quarantineMs));
  const candidates = nameCandidates(joiner.name, nodeId);
  const taken = await takenNames(tx, tenantId, cvlan.id, candidates);
  await insertNode(tx, deps.seals, {
    tenantId,
    id: nodeId,
    cvlanId: cvlan.id,
    name: candidates.find((name) => !taken.has(name)) ?? joiner.name,
    kind: token.nodeKind,
    status: NodeStatus.JOINING,
    host: address.host,
    wireguardPublicKey: joiner.wireguardPublicKey,
    controlPublicKey: joiner.controlPublicKey,
    capabilityVersion: BigInt(joiner.capabilityVersion),
    tags: token.tags,
    routes: [],
    joinTokenId: token.id,
    createdAt: now,
    joinedAt: null,
    revokedAt: null,
    record: new Uint8Array(),
    recordRevision: 0n,
  });
  await address.hold(nodeId);
  // A group that was deleted since the token was made is no reason to keep the machine out.
  for (const groupId of await existingGroups(tx, deps.seals, cvlan, token.groupIds)) {
    await addMember(tx, deps.seals, tenantId, groupId, nodeId);
  }
}

async function resume(deps: RegistryDeps, tx: Tx, joiner: Joiner, token: TokenRow): Promise<string> {
  const node = await lockNode(tx, deps.seals, joiner.tenantId, token.nodeId ?? "");
  if (node.status === NodeStatus.REVOKED) throw tokenRefusal("TOKEN_NODE_REVOKED");
  const sameKeys =
    Buffer.compare(node.wireguardPublicKey, joiner.wireguardPublicKey) === 0 &&
    Buffer.compare(node.controlPublicKey, joiner.controlPublicKey) === 0;
  if (sameKeys) return node.id;
  throw new Refusal("conflict", "JOIN_KEYS_CHANGED", "this join was begun with other WireGuard or control keys", {
    field: "wireguard_public_key",
    objectId: node.id,
    remedy: "use the keys of the first attempt, or revoke the node and join with a new token",
  });
}
