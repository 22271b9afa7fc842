import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  AuthService,
  type KeyRotation,
  KeyRotationSchema,
  KeyRotationStage,
  type ReportKeyRotationRequest,
  TenantKeys,
  TenantService,
} from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type Keyset, KeyRole, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Caller, callerOf, subjectOf } from "@cloudvlan/kit/caller";
import { Refusal } from "@cloudvlan/kit/errors";
import { requireId, type TenantId } from "@cloudvlan/kit/ids";
import { openKeyset } from "@cloudvlan/kit/sign";
import type { ServiceImpl } from "@connectrpc/connect";
import { nextKeyset, signKeyset } from "../domain/keyset.ts";
import { advance, type RotationReport } from "../domain/rotation.ts";
import { openRootKey } from "../root-key.ts";
import { insertRetired, listRotations, listUnfinished, lockRotation, putRotation } from "../rotation-store.ts";
import type { KeyRotationState, TenantRow } from "../schema.ts";
import { replaceKeyset } from "../store.ts";
import { STREAM } from "../stream.ts";
import type { AuthContext } from "../trusted.ts";
import { KEYSET_ATTEMPTS, keysetBusy, requireService, requireTenant } from "./common.ts";

/** Replacements that services are told of at once. */
const MOST_UNFINISHED = 1_000;

const ROLES: Readonly<Partial<Record<TenantKeys, KeyRole>>> = {
  [TenantKeys.ENROL]: KeyRole.ENROL,
  [TenantKeys.POLICY]: KeyRole.POLICY,
  [TenantKeys.MAP]: KeyRole.MAP,
};

/** The role of delegated keys; undefined for the root key. */
export function delegatedRole(which: TenantKeys): KeyRole | undefined {
  return ROLES[which];
}

/** Has the keys that the tenant's keyset has for a role replaced; those that are being replaced already go on. */
export async function rotateDelegated(
  ctx: AuthContext,
  caller: Caller,
  tenantId: TenantId,
  role: KeyRole,
): Promise<{ readonly row: TenantRow; readonly rotation: KeyRotation }> {
  const row = await requireTenant(ctx, caller, tenantId);
  const formerKeyIds = keysetOf(row)
    .keys.filter((key) => key.role === role)
    .map(({ keyId }) => keyId);
  if (formerKeyIds.length === 0) {
    throw new Refusal("conflict", "KEY_NOT_IN_USE", `the tenant has no key for ${KeyRole[role]} yet`, {
      field: "which",
      objectId: tenantId,
      remedy: "the key is made new when it is first needed; there is nothing to replace",
    });
  }
  const now = new Date(ctx.clock.nowMs());
  const asked: KeyRotationState = {
    tenantId,
    role,
    stage: KeyRotationStage.REQUESTED,
    formerKeyIds,
    keyId: "",
    left: 0n,
    startedAt: now,
    updatedAt: now,
    startedBy: subjectOf(caller),
  };
  const state = await ctx.db.platform(async (tx) => {
    const current = await lockRotation(ctx, tx, tenantId, role);
    const isUnderWay = current !== undefined && current.stage !== KeyRotationStage.DONE;
    if (!isUnderWay) await putRotation(ctx, tx, asked);
    const action = pathOf(TenantService.method.rotateTenantKeys);
    await ctx.audit.record(tx, caller, { action, objectId: tenantId, outcome: "ok" });
    return isUnderWay ? current : asked;
  });
  return { row, rotation: rotationOf(state) };
}

export async function listKeyRotations(ctx: AuthContext, caller: Caller, tenantId: TenantId): Promise<KeyRotation[]> {
  await requireTenant(ctx, caller, tenantId);
  return (await ctx.db.tenant(tenantId, (tx) => listRotations(ctx, tx, tenantId))).map(rotationOf);
}

type RotationRpcs = Pick<ServiceImpl<typeof AuthService>, "listUnfinishedKeyRotations" | "reportKeyRotation">;

/** What services ask and say of replacements. */
export function rotationHandlers(ctx: AuthContext): RotationRpcs {
  return {
    async listUnfinishedKeyRotations() {
      const unfinished = await ctx.db.platform((tx) => listUnfinished(ctx, tx, MOST_UNFINISHED));
      return { rotations: unfinished.map(rotationOf) };
    },
    async reportKeyRotation(request, context) {
      return { rotation: rotationOf(await report(ctx, callerOf(context), request)) };
    },
  };
}

async function report(
  ctx: AuthContext,
  caller: Caller,
  { tenantId: asked, role, keyId, stage, left }: ReportKeyRotationRequest,
): Promise<KeyRotationState> {
  const service = requireService(caller, ["registry", "policy", "netmap"]);
  const tenantId = requireId("tenant", asked, "tenant_id");
  for (let attempt = 0; attempt < KEYSET_ATTEMPTS; attempt++) {
    const tenant = await requireTenant(ctx, caller, tenantId);
    const state = await take(ctx, caller, tenant, { service, role, keyId, stage, left });
    if (state) return state;
  }
  throw keysetBusy(tenantId);
}

/** Undefined when the keyset was changed meanwhile. */
async function take(
  ctx: AuthContext,
  caller: Caller,
  tenant: TenantRow,
  told: RotationReport,
): Promise<KeyRotationState | undefined> {
  const keyset = keysetOf(tenant);
  const root = told.stage === KeyRotationStage.DONE ? await openRootKey(ctx.keys, tenant) : undefined;
  const now = new Date(ctx.clock.nowMs());
  return ctx.db.platform(async (tx) => {
    const current = await lockRotation(ctx, tx, tenant.id, told.role);
    const next = advance(current, keyset, told, now);
    if (root && next !== current) {
      const isFormer = ({ keyId }: { keyId: string }) => next.formerKeyIds.includes(keyId);
      const without = nextKeyset(
        keyset,
        keyset.keys.filter((key) => !isFormer(key)),
        now.getTime(),
      );
      const value = toBinary(SignedSchema, signKeyset(root, without));
      if (!(await replaceKeyset(tx, tenant.id, without.version, value))) return undefined;
      const gone = keyset.keys.filter(isFormer).map(({ publicKey }) => publicKey);
      await insertRetired(tx, tenant.id, gone, now);
      await ctx.changes.append(tx, STREAM, [{ objectId: tenant.id, change: { case: "keyset", value } }]);
    }
    if (next !== current) await putRotation(ctx, tx, next);
    const action = pathOf(AuthService.method.reportKeyRotation);
    await ctx.audit.record(tx, caller, { action, objectId: tenant.id, outcome: "ok" });
    return next;
  });
}

function keysetOf({ id, rootPublicKey, keyset }: TenantRow): Keyset {
  return openKeyset(rootPublicKey, id, fromBinary(SignedSchema, keyset));
}

function rotationOf({ startedAt, updatedAt, ...state }: KeyRotationState): KeyRotation {
  const { tenantId, role, stage, formerKeyIds, keyId, left, startedBy } = state;
  const times = { startedAt: timestampFromDate(startedAt), updatedAt: timestampFromDate(updatedAt) };
  return create(KeyRotationSchema, { tenantId, role, stage, formerKeyIds, keyId, left, startedBy, ...times });
}
