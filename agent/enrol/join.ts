import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import type { GetIdentityResponse, ProveRequest, ProveResponse } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { type JoinString } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import {
  EnrollmentService,
  type JoinRequest,
  JoinRequestSchema,
  type JoinResponse,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { connectTo, fetchTrustBundle } from "@cloudvlan/kit/client";
import type { Clock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import { descendsFromPinned } from "@cloudvlan/kit/sign";
import { joinTranscript } from "@cloudvlan/kit/transcript";
import { keepIdentity } from "../certificate/files.ts";
import { acceptCertificate } from "../certificate/identity.ts";
import { REJOIN } from "../controller/view.ts";
import { type Membership, readMembership, writeMembership } from "../state/membership.ts";
import { isDefinite } from "./definite.ts";
import { parseJoinString } from "./join-string.ts";
import { beginPending, endPending, type PendingJoin } from "./pending.ts";

/** What proves possession of the node's keys: the engine, which made them and keeps them. */
export interface Prover {
  readonly identity: Pick<GetIdentityResponse, "wireguardPublicKey" | "controlPublicKey" | "capabilityVersion">;
  prove(request: Pick<ProveRequest, "serverPublicKey" | "challenge" | "transcript">): Promise<ProveResponse>;
}

export interface JoinOptions {
  /** The agent's folder. */
  readonly state: string;
  readonly prover: Prover;
  readonly clock: Clock;
  /** The node that this machine is was refused for good. */
  readonly expelled: boolean;
}

/** Milliseconds for the call that spends the token; the controller asks its CA meanwhile. */
const JOIN_TIMEOUT_MS = 60_000;

/**
 * Makes this machine a node: from a join string to a certificate and a membership on disk. It may be cut off anywhere and
 * repeated with the same string: it then completes the same join.
 * @param name wanted name.
 * @throws Refusal or ConnectError; unless it is refused for good, the state then holds what a repetition needs.
 */
export async function join(
  options: JoinOptions,
  joinString: string,
  name: string,
  signal: AbortSignal,
): Promise<Membership> {
  const invitation = parseJoinString(joinString);
  const existing = await readMembership(options.state);
  if (existing) {
    if (existing.token_id !== invitation.tokenId) throw alreadyEnrolled(existing, options.expelled);
    await endPending(options.state);
    return existing;
  }
  const pending = await beginPending(options.state, joinString.trim(), name);
  try {
    const membership = await settle(options, invitation, pending, await ask(options, invitation, pending, signal));
    await endPending(options.state);
    return membership;
  } catch (error) {
    if (isDefinite(error)) await endPending(options.state);
    throw error;
  }
}

async function ask(
  options: JoinOptions,
  invitation: JoinString,
  pending: PendingJoin,
  signal: AbortSignal,
): Promise<JoinResponse> {
  const roots = await fetchTrustBundle(invitation.url, invitation.caSha256);
  const connection = connectTo(invitation.url, { roots });
  try {
    const enrollment = createClient(EnrollmentService, connection);
    const { serverPublicKey, challenge } = await enrollment.beginJoin({}, { signal });
    const request = await joinRequest(options.prover, invitation, pending, serverPublicKey, challenge);
    return await enrollment.join(request, { signal, timeoutMs: JOIN_TIMEOUT_MS });
  } finally {
    connection.close();
  }
}

async function joinRequest(
  prover: Prover,
  invitation: JoinString,
  pending: PendingJoin,
  serverPublicKey: Uint8Array,
  challenge: Uint8Array,
): Promise<JoinRequest> {
  const { wireguardPublicKey, controlPublicKey, capabilityVersion } = prover.identity;
  const { tenantId, tokenId, secret } = invitation;
  const transcript = joinTranscript({ tokenId, csr: pending.csr, wireguardPublicKey, controlPublicKey });
  const { wireguardProof, controlProof } = await prover.prove({ serverPublicKey, challenge, transcript });
  return create(JoinRequestSchema, {
    tenantId,
    tokenId,
    secret,
    challenge,
    csr: pending.csr,
    wireguardPublicKey,
    wireguardProof,
    controlPublicKey,
    controlProof,
    name: pending.name,
    capabilityVersion,
  });
}

/** Checks the answer against the join string and keeps it; `agent.json` is last, because its presence ends the join. */
async function settle(
  options: JoinOptions,
  invitation: JoinString,
  pending: PendingJoin,
  response: JoinResponse,
): Promise<Membership> {
  const { node, certificate, bundle, rootPublicKey, rootTransitions, cvlanName } = response;
  if (!node || !certificate || !bundle) throw untrusted("it is incomplete");
  if (node.tenantId !== invitation.tenantId) throw untrusted("it is for another tenant");
  const isPinned = (key: Uint8Array): boolean => sha256(key).equals(invitation.rootKeySha256);
  if (!descends(node.tenantId, isPinned, rootTransitions, rootPublicKey)) {
    throw untrusted("its root key is not the one the join string pins, nor signed by it");
  }
  if (!bundle.roots.some((root) => sha256(root).equals(invitation.caSha256))) {
    throw untrusted("its trust bundle lacks the root the join string pins");
  }
  const expected = { clusterId: node.clusterId, tenantId: node.tenantId, nodeId: node.id };
  const now = options.clock.nowMs();
  await keepIdentity(options.state, acceptCertificate(pending.keyPem, certificate.chain, bundle.roots, expected, now));
  const membership: Membership = {
    version: 1,
    controller_url: invitation.url,
    cluster_id: node.clusterId,
    tenant_id: node.tenantId,
    cvlan_id: node.cvlanId,
    cvlan_name: cvlanName,
    node_id: node.id,
    name: node.name,
    token_id: invitation.tokenId,
    root_public_key: Buffer.from(rootPublicKey).toString("base64"),
  };
  await writeMembership(options.state, membership);
  return membership;
}

/** False also for what is no chain of root keys. */
function descends(...chain: Parameters<typeof descendsFromPinned>): boolean {
  try {
    return descendsFromPinned(...chain);
  } catch {
    return false;
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function untrusted(why: string): Refusal {
  return new Refusal("denied", "JOIN_ANSWER_UNTRUSTED", `the controller's answer is not to be trusted: ${why}`, {
    remedy: "ask the operator for a new join string, and whether the controller was replaced",
  });
}

function alreadyEnrolled({ name, cvlan_name, node_id }: Membership, expelled: boolean): Refusal {
  const end = expelled ? ", which is no member any more" : "";
  const message = `this state folder already is the node ${name} of the network ${cvlan_name}${end}`;
  return new Refusal("conflict", "ALREADY_ENROLLED", message, {
    objectId: node_id,
    remedy: expelled ? REJOIN : "run a second agent with another --state for a second network",
  });
}
