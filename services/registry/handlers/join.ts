import { create } from "@bufbuild/protobuf";
import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import {
  type BeginJoinResponse,
  BeginJoinResponseSchema,
  EnrollmentService,
  type JoinRequest,
  type JoinResponse,
  JoinResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import type { Caller } from "@cloudvlan/kit/caller";
import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { isId, type TenantId } from "@cloudvlan/kit/ids";
import { checkCsr } from "@cloudvlan/kit/ca";
import { joinTranscript } from "@cloudvlan/kit/transcript";
import { openChallenge, sealChallenge } from "../challenge.ts";
import type { RegistryDeps } from "../deps.ts";
import { checkProof, newKeyPair } from "../domain/proof.ts";
import { tokenRefusal } from "../domain/token.ts";
import { type CvlanRow, requireCvlan } from "../store/cvlans.ts";
import { existingGroups, groupsOf } from "../store/groups.ts";
import { lockNode, type NodeRow } from "../store/nodes.ts";
import { databaseNow } from "../store/time.ts";
import { findToken } from "../store/tokens.ts";
import { publishNode } from "./publish.ts";
import { reserve } from "./reserve.ts";
import type { RefusedJoins } from "./token-audit.ts";
import { nodeOf } from "./wire.ts";

export async function beginJoin(deps: RegistryDeps): Promise<BeginJoinResponse> {
  const { privateKey, publicKey } = newKeyPair();
  const challenge = await sealChallenge(deps.keys, privateKey, deps.clock.nowMs());
  return create(BeginJoinResponseSchema, { serverPublicKey: publicKey, challenge });
}

/**
 * Makes a member of whoever holds a token and proves its keys. Two transactions with the certificate between them: the
 * first spends the token and holds an address, the second makes the node visible. A join that ended in between is resumed
 * by the same request key.
 */
export async function join(
  deps: RegistryDeps,
  refused: RefusedJoins,
  request: JoinRequest,
  caller: Caller,
): Promise<JoinResponse> {
  const serverKey = await openChallenge(deps.keys, request.challenge, deps.clock.nowMs());
  const csr = await checkCsr(request.csr);
  checkKeys(request, serverKey);
  try {
    return await joinWithToken(deps, request, caller, csr.keySha256);
  } catch (error) {
    if (error instanceof Refusal && error.kind === "unauthenticated") {
      await refused(caller, request.tenantId, request.tokenId, error);
    }
    throw error;
  }
}

function checkKeys(request: JoinRequest, serverKey: Uint8Array): void {
  const { challenge, wireguardPublicKey, controlPublicKey } = request;
  if (Buffer.compare(wireguardPublicKey, controlPublicKey) === 0) {
    throw new Refusal("invalid", "KEY_REUSED", "the control key is the WireGuard key", {
      field: "control_public_key",
      remedy: "make a key pair of its own for each",
    });
  }
  const transcript = joinTranscript(request);
  checkProof("wireguard", serverKey, wireguardPublicKey, challenge, transcript, request.wireguardProof);
  checkProof("control", serverKey, controlPublicKey, challenge, transcript, request.controlProof);
}

async function joinWithToken(
  deps: RegistryDeps,
  request: JoinRequest,
  caller: Caller,
  csrKeySha256: Uint8Array,
): Promise<JoinResponse> {
  const { tenantId, tokenId } = request;
  if (!isId("tenant", tenantId) || !isId("jointoken", tokenId)) throw tokenRefusal("TOKEN_UNKNOWN");
  const { nodeId } = await reserve(deps, { ...request, tenantId, tokenId, csrKeySha256 }, caller);

  // The keyset of the answer has the key that signs the node's record.
  await deps.enrolKeys.get(tenantId);
  const [{ certificate, bundle }, { keyset, rootPublicKey, rootTransitions }] = await Promise.all([
    deps.certificates.mintCertificate({ tenantId, nodeId, csr: request.csr }),
    deps.auth.getKeyset({ tenantId }),
  ]);
  const { node, cvlanName } = await activate(deps, tenantId, nodeId, caller);
  const trust = { bundle, rootPublicKey, keyset, rootTransitions };
  return create(JoinResponseSchema, { node, certificate, ...trust, cvlanName });
}

/** The groups a node is born into, as its token has them: rows that say less do not keep it out of any. */
async function groupsOfToken(deps: RegistryDeps, tx: Tx, cvlan: CvlanRow, node: NodeRow): Promise<string[]> {
  const token = deps.seals.open("join_token", await findToken(tx, cvlan.tenantId, node.joinTokenId));
  if (!token) throw tokenRefusal("TOKEN_SEAL_BROKEN");
  return existingGroups(tx, deps.seals, cvlan, token.groupIds);
}

/** Makes the node visible to its cvlan; again, it is as it was. */
async function activate(deps: RegistryDeps, tenantId: TenantId, nodeId: string, caller: Caller) {
  return deps.enrolKeys.signing(tenantId, async (tx, key) => {
    const current = await lockNode(tx, deps.seals, tenantId, nodeId);
    if (current.status === NodeStatus.REVOKED) throw tokenRefusal("TOKEN_NODE_REVOKED");
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, current.cvlanId);
    let groupIds = (await groupsOf(tx, deps.seals, tenantId, [nodeId])).get(nodeId) ?? [];
    let row = current;
    if (current.status === NodeStatus.JOINING) {
      groupIds = await groupsOfToken(deps, tx, cvlan, current);
      const joined = { ...current, status: NodeStatus.ACTIVE, joinedAt: await databaseNow(tx) };
      row = await publishNode(deps, tx, key, cvlan, joined, groupIds, "token_id");
    }
    await deps.audit.record(tx, caller, {
      action: pathOf(EnrollmentService.method.join),
      objectId: nodeId,
      outcome: "ok",
    });
    return { node: nodeOf(deps.clusterId, cvlan, row, groupIds), cvlanName: cvlan.name };
  });
}
