import { createHash, randomBytes } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { type JoinToken, JoinStringSchema } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import { SettingsLayer } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import { NodeKind } from "@cloudvlan/gen/entity/v1/node_pb.js";
import {
  type CreateJoinTokenRequest,
  type CreateJoinTokenResponse,
  CreateJoinTokenResponseSchema,
  EnrollmentService,
  type GetJoinTokenRequest,
  type ListJoinTokensRequest,
  type ListJoinTokensResponse,
  ListJoinTokensResponseSchema,
  type RevokeJoinTokenRequest,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Caller, subjectOf } from "@cloudvlan/kit/caller";
import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { newId } from "@cloudvlan/kit/ids";
import type { RegistryDeps } from "../deps.ts";
import { digestOf } from "../domain/token.ts";
import { type CvlanRow, requireCvlan } from "../store/cvlans.ts";
import { existingGroups } from "../store/groups.ts";
import { pageOf, splitPage } from "@cloudvlan/kit/page";
import { databaseNow } from "../store/time.ts";
import { findToken, insertToken, listTokens, revokeToken, type TokenRow } from "../store/tokens.ts";
import { effective } from "./effective.ts";
import { tenantOf } from "./request.ts";
import { tokenOf } from "./wire.ts";

const DEFAULT_TTL_SECONDS = 3600;
const SECRET_BYTES = 32;
const FORMAT = "cvlan1.";

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());

export async function createJoinToken(
  deps: RegistryDeps,
  request: CreateJoinTokenRequest,
  caller: Caller,
): Promise<CreateJoinTokenResponse> {
  const tenantId = tenantOf(request);
  const [{ rootPublicKey }, { bundle }] = await Promise.all([
    deps.auth.getKeyset({ tenantId }),
    deps.certificates.getTrustBundle({}),
  ]);
  const root = bundle?.roots[0];
  if (!root) throw new Error("auth knows no root certificate");

  const id = newId("jointoken", deps.clock.nowMs());
  const secret = new Uint8Array(randomBytes(SECRET_BYTES));
  const token = await deps.db.tenant(tenantId, async (tx) => {
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, request.cvlanId);
    const groupIds = await existingGroups(tx, deps.seals, cvlan, request.groupIds);
    const missing = request.groupIds.findIndex((groupId) => !groupIds.includes(groupId));
    if (missing >= 0) {
      throw new Refusal("not_found", "GROUP_NOT_FOUND", "the cvlan has no such group", {
        field: `group_ids[${missing}]`,
        remedy: "list the cvlan's groups",
      });
    }
    const ttlSeconds = await allowedTtl(deps, tx, cvlan, request.ttlSeconds);
    const now = await databaseNow(tx);
    const row = await insertToken(tx, deps.seals, {
      tenantId,
      id,
      cvlanId: cvlan.id,
      digest: digestOf(secret),
      expiresAt: new Date(now.getTime() + 1000 * ttlSeconds),
      tags: { ...request.tags?.tags },
      groupIds: groupIds.toSorted(),
      nodeKind: request.nodeKind === NodeKind.UNSPECIFIED ? NodeKind.AGENT : request.nodeKind,
      createdAt: now,
      createdBy: subjectOf(caller),
      revokedAt: null,
      usedBy: null,
      nodeId: null,
    });
    const action = pathOf(EnrollmentService.method.createJoinToken);
    await deps.audit.record(tx, caller, { action, objectId: id, outcome: "ok" });
    return tokenOf(deps.clusterId, row, now);
  });

  const joinString = create(JoinStringSchema, {
    url: deps.url,
    caSha256: sha256(root),
    rootKeySha256: sha256(rootPublicKey),
    tenantId,
    tokenId: id,
    secret,
  });
  return create(CreateJoinTokenResponseSchema, {
    token,
    joinString: FORMAT + Buffer.from(toBinary(JoinStringSchema, joinString)).toString("base64url"),
  });
}

/** @param wanted 0 for the default, which is cut to what is allowed. @throws Refusal `invalid` for more than that. */
async function allowedTtl(deps: RegistryDeps, tx: Tx, cvlan: CvlanRow, wanted: number): Promise<number> {
  const { settings, decidedBy } = await effective(deps, tx, { tenantId: cvlan.tenantId, cvlanId: cvlan.id });
  const most = settings?.joinTokenMaxTtlSeconds ?? 0;
  if (wanted <= most) return wanted === 0 ? Math.min(DEFAULT_TTL_SECONDS, most) : wanted;
  const layer = SettingsLayer[decidedBy["join_token_max_ttl_seconds"] ?? SettingsLayer.UNSPECIFIED].toLowerCase();
  throw new Refusal("invalid", "TTL_TOO_LONG", `the settings of the ${layer} allow ${most} seconds at most`, {
    field: "ttl_seconds",
    remedy: `ask for ${most} seconds or less`,
  });
}

export async function getJoinToken(deps: RegistryDeps, request: GetJoinTokenRequest): Promise<JoinToken> {
  const tenantId = tenantOf(request);
  return deps.db.tenant(tenantId, async (tx) => {
    const row = await requireToken(deps, tx, tenantId, request.tokenId);
    return tokenOf(deps.clusterId, row, await databaseNow(tx));
  });
}

/** @throws Refusal `not_found` when the tenant has none of that id, or its row is not this service's. */
async function requireToken(deps: RegistryDeps, tx: Tx, tenantId: string, tokenId: string): Promise<TokenRow> {
  const stored = await findToken(tx, tenantId, tokenId);
  const row = deps.seals.open("join_token", stored);
  if (row) return row;
  throw new Refusal("not_found", "JOIN_TOKEN_NOT_FOUND", "there is no such join token", {
    field: "token_id",
    remedy: "list the cvlan's join tokens",
    auditReason: stored ? "SEAL_BROKEN" : "JOIN_TOKEN_NOT_FOUND",
  });
}

export async function listJoinTokens(
  deps: RegistryDeps,
  request: ListJoinTokensRequest,
): Promise<ListJoinTokensResponse> {
  const tenantId = tenantOf(request);
  const page = pageOf("jointoken", request.pagination);
  return deps.db.tenant(tenantId, async (tx) => {
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, request.cvlanId);
    const { rows, meta } = splitPage(page, await listTokens(tx, tenantId, cvlan.id, page));
    const now = await databaseNow(tx);
    const genuine = rows.filter((row) => deps.seals.open("join_token", row));
    return create(ListJoinTokensResponseSchema, {
      tokens: genuine.map((row) => tokenOf(deps.clusterId, row, now)),
      meta,
    });
  });
}

/** A used token is refused: what it let in is revoked as a node. */
export async function revokeJoinToken(
  deps: RegistryDeps,
  request: RevokeJoinTokenRequest,
  caller: Caller,
): Promise<JoinToken> {
  const tenantId = tenantOf(request);
  return deps.db.tenant(tenantId, async (tx) => {
    const current = await requireToken(deps, tx, tenantId, request.tokenId);
    if (current.usedBy) throw used(current.nodeId ?? "");
    const now = await databaseNow(tx);
    const row = current.revokedAt ? current : await revokeToken(tx, deps.seals, current, now);
    if (!row) {
      throw new Refusal("conflict", "JOIN_TOKEN_CHANGED", "the join token was used or revoked meanwhile", {
        objectId: current.id,
        remedy: "list the cvlan's join tokens to see which",
      });
    }
    const action = pathOf(EnrollmentService.method.revokeJoinToken);
    await deps.audit.record(tx, caller, { action, objectId: row.id, outcome: "ok" });
    return tokenOf(deps.clusterId, row, now);
  });
}

function used(nodeId: string): Refusal {
  return new Refusal("conflict", "JOIN_TOKEN_USED", "the join token was used", {
    objectId: nodeId,
    remedy: "revoke the node that used it",
  });
}
