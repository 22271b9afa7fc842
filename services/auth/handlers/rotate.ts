import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import type { Caller } from "@cloudvlan/kit/caller";
import { Refusal } from "@cloudvlan/kit/errors";
import type { TenantId } from "@cloudvlan/kit/ids";
import { sealOf } from "@cloudvlan/kit/keys";
import { MAX_ROOT_TRANSITIONS, openKeyset, signRootTransition } from "@cloudvlan/kit/sign";
import { nextKeyset, signKeyset } from "../domain/keyset.ts";
import { TENANT_TABLE, tenantFields } from "../domain/seals.ts";
import { newRootKey, openRootKey } from "../root-key.ts";
import type { TenantRow } from "../schema.ts";
import { replaceRoot } from "../store.ts";
import { STREAM } from "../stream.ts";
import type { AuthContext } from "../trusted.ts";
import { keysetBusy, KEYSET_ATTEMPTS, requireRoots } from "./common.ts";

/**
 * Puts a new root key in the place of the tenant's, signed by the one that goes, and signs the same keys again by the new
 * one. What the keys of the keyset signed stays as it is.
 * @returns the tenant's row as it is now.
 */
export async function rotateRoot(ctx: AuthContext, caller: Caller, tenantId: TenantId): Promise<TenantRow> {
  for (let attempt = 0; attempt < KEYSET_ATTEMPTS; attempt++) {
    const former = await requireRoots(ctx, caller, tenantId);
    const { row, transition } = await successor(ctx, former);
    const replaced = await ctx.db.platform(async (tx) => {
      if (!(await replaceRoot(tx, row, former.tenant.seal, transition))) return false;
      await ctx.changes.append(tx, STREAM, [{ objectId: tenantId, change: { case: "keyset", value: row.keyset } }]);
      const action = pathOf(TenantService.method.rotateTenantKeys);
      await ctx.audit.record(tx, caller, { action, objectId: tenantId, outcome: "ok" });
      return true;
    });
    if (replaced) return row;
  }
  throw keysetBusy(tenantId);
}

/** The tenant's row with another root key, and what the present one says of it. */
async function successor(ctx: AuthContext, { tenant, transitions }: Awaited<ReturnType<typeof requireRoots>>) {
  const made = transitions.length;
  if (made >= MAX_ROOT_TRANSITIONS) {
    throw new Refusal("exhausted", "ROOT_ROTATIONS_EXHAUSTED", `the root key was replaced ${made} times`, {
      objectId: tenant.id,
      remedy: "make a new tenant and have its machines join there: nodes that are away could not follow any further",
    });
  }
  const nowMs = ctx.clock.nowMs();
  const former = await openRootKey(ctx.keys, tenant);
  const { root, wrapped } = await newRootKey(ctx.keys, tenant.id);
  const sequence = BigInt(made + 1);
  const signed = signRootTransition(former, tenant.id, sequence, root.publicKey, nowMs);
  const current = openKeyset(tenant.rootPublicKey, tenant.id, fromBinary(SignedSchema, tenant.keyset));
  const keyset = nextKeyset(current, current.keys, nowMs);
  const fields = { ...tenant, rootPublicKey: root.publicKey };
  const row: TenantRow = {
    ...fields,
    rootSeed: wrapped,
    seal: sealOf(ctx.keys, TENANT_TABLE, tenantFields(fields)),
    keysetVersion: keyset.version,
    keyset: toBinary(SignedSchema, signKeyset(root, keyset)),
  };
  return { row, transition: { sequence, signed: toBinary(SignedSchema, signed) } };
}
