import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole, type Signed, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Caller, callerOf } from "@cloudvlan/kit/caller";
import { Refusal } from "@cloudvlan/kit/errors";
import { newId, requireId, type TenantId } from "@cloudvlan/kit/ids";
import { openKeyset } from "@cloudvlan/kit/sign";
import type { ServiceImpl } from "@connectrpc/connect";
import { delegate, roleOf, signKeyset } from "../domain/keyset.ts";
import { openRootKey } from "../root-key.ts";
import { isRetired } from "../rotation-store.ts";
import { replaceKeyset } from "../store.ts";
import { STREAM } from "../stream.ts";
import type { AuthContext } from "../trusted.ts";
import { KEYSET_ATTEMPTS, keysetBusy, requireRoots, requireService, requireTenant } from "./common.ts";

type KeysetRpcs = Pick<ServiceImpl<typeof AuthService>, "delegateKey" | "getKeyset">;

/** Says which keys may sign what for a tenant. */
export function keysetHandlers(ctx: AuthContext): KeysetRpcs {
  /** False when another worker changed the keyset meanwhile. */
  const publish = (caller: Caller, tenantId: TenantId, version: bigint, keyset: Signed): Promise<boolean> =>
    ctx.db.platform(async (tx) => {
      const value = toBinary(SignedSchema, keyset);
      if (!(await replaceKeyset(tx, tenantId, version, value))) return false;
      await ctx.changes.append(tx, STREAM, [{ objectId: tenantId, change: { case: "keyset", value } }]);
      const action = pathOf(AuthService.method.delegateKey);
      await ctx.audit.record(tx, caller, { action, objectId: tenantId, outcome: "ok" });
      return true;
    });

  return {
    async delegateKey({ tenantId: asked, role, publicKey }, context) {
      const caller = callerOf(context);
      const service = requireService(caller, ["registry", "policy", "netmap"]);
      const tenantId = requireId("tenant", asked, "tenant_id");
      if (roleOf(service) !== role) {
        throw new Refusal("denied", "ROLE_NOT_YOURS", `${service} may not have a key for ${KeyRole[role]}`, {
          field: "role",
          remedy: "ask for the role of the calling service",
        });
      }
      for (let attempt = 0; attempt < KEYSET_ATTEMPTS; attempt++) {
        const tenant = await requireTenant(ctx, caller, tenantId);
        const signed = fromBinary(SignedSchema, tenant.keyset);
        const nowMs = ctx.clock.nowMs();
        const keyset = openKeyset(tenant.rootPublicKey, tenantId, signed);
        // Asked after the keyset was read: whoever retires the key afterwards makes another version.
        if (await ctx.db.tenant(tenantId, (tx) => isRetired(tx, tenantId, publicKey))) throw keyRetired(tenantId);
        const { keyId, next } = delegate(keyset, { role, publicKey, keyId: newId("key", nowMs), nowMs });
        const rootPublicKey = tenant.rootPublicKey;
        if (!next) return { keyId, keyset: signed, rootPublicKey };
        const made = signKeyset(await openRootKey(ctx.keys, tenant), next);
        if (await publish(caller, tenantId, next.version, made)) return { keyId, keyset: made, rootPublicKey };
      }
      throw keysetBusy(tenantId);
    },

    async getKeyset({ tenantId: asked }, context) {
      const tenantId = requireId("tenant", asked, "tenant_id");
      const { tenant, transitions: rootTransitions } = await requireRoots(ctx, callerOf(context), tenantId);
      const keyset = fromBinary(SignedSchema, tenant.keyset);
      openKeyset(tenant.rootPublicKey, tenantId, keyset);
      return { keyset, rootPublicKey: tenant.rootPublicKey, rootTransitions };
    },
  };
}

function keyRetired(tenantId: TenantId): Refusal {
  return new Refusal("conflict", "KEY_RETIRED", "the key was replaced and may not sign any more", {
    field: "public_key",
    objectId: tenantId,
    remedy: "use the key that took its place; all workers of a service share one database",
  });
}
