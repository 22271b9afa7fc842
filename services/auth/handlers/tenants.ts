import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type Tenant, TenantSchema } from "@cloudvlan/gen/entity/v1/tenant_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { callerOf, subjectOf } from "@cloudvlan/kit/caller";
import { isUniqueViolation } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { newId, requireId } from "@cloudvlan/kit/ids";
import { sealOf } from "@cloudvlan/kit/keys";
import type { ServiceImpl } from "@connectrpc/connect";
import { firstKeyset } from "../domain/keyset.ts";
import { splitPage, pageOf } from "@cloudvlan/kit/page";
import { TENANT_TABLE, tenantFields } from "../domain/seals.ts";
import { newRootKey } from "../root-key.ts";
import type { TenantRow } from "../schema.ts";
import { insertTenant, listTenants } from "../store.ts";
import { STREAM } from "../stream.ts";
import { type AuthContext, trustedTenants } from "../trusted.ts";
import { requireTenant } from "./common.ts";
import { rotateRoot } from "./rotate.ts";

/** A tenant as a caller sees it. */
function tenantOf(clusterId: string, row: TenantRow): Tenant {
  return create(TenantSchema, {
    id: row.id,
    name: row.name,
    status: row.status,
    rootKeySha256: createHash("sha256").update(row.rootPublicKey).digest(),
    provenance: {
      createdAt: timestampFromDate(row.createdAt),
      updatedAt: timestampFromDate(row.createdAt),
      createdBy: row.createdBy,
    },
    clusterId,
  });
}

export function tenantHandlers(ctx: AuthContext): ServiceImpl<typeof TenantService> {
  const toTenant = (row: TenantRow): Tenant => tenantOf(ctx.clusterId, row);

  return {
    async createTenant({ name }, context) {
      const caller = callerOf(context);
      const nowMs = ctx.clock.nowMs();
      const id = newId("tenant", nowMs);
      const { root, wrapped } = await newRootKey(ctx.keys, id);
      const keyset = firstKeyset(root, id, nowMs);
      const fields = {
        id,
        name,
        status: Status.ACTIVE,
        rootPublicKey: root.publicKey,
        createdAt: new Date(nowMs),
        createdBy: subjectOf(caller),
      };
      const row: TenantRow = {
        ...fields,
        rootSeed: wrapped,
        seal: sealOf(ctx.keys, TENANT_TABLE, tenantFields(fields)),
        keysetVersion: 0n,
        keyset: toBinary(SignedSchema, keyset),
      };
      try {
        await ctx.db.platform(async (tx) => {
          await insertTenant(tx, row);
          await ctx.changes.append(tx, STREAM, [{ objectId: id, change: { case: "keyset", value: row.keyset } }]);
          const action = pathOf(TenantService.method.createTenant);
          await ctx.audit.record(tx, caller, { action, objectId: id, outcome: "ok" });
        });
      } catch (error) {
        if (!isUniqueViolation(error, "tenant_name_key")) throw error;
        throw new Refusal("exists", "TENANT_NAME_TAKEN", `a tenant named ${name} exists`, {
          field: "name",
          remedy: "choose another name",
        });
      }
      return { tenant: toTenant(row) };
    },

    async getTenant({ tenantId }, context) {
      const id = requireId("tenant", tenantId, "tenant_id");
      return { tenant: toTenant(await requireTenant(ctx, callerOf(context), id)) };
    },

    async rotateTenantKeys({ tenantId }, context) {
      const row = await rotateRoot(ctx, callerOf(context), requireId("tenant", tenantId, "tenant_id"));
      return { tenant: toTenant(row), keysetVersion: row.keysetVersion };
    },

    async listTenants({ pagination }, context) {
      const page = pageOf("tenant", pagination);
      return ctx.db.platform(async (tx) => {
        const { rows, meta } = splitPage(page, await listTenants(tx, page));
        const trusted = await trustedTenants(ctx, tx, callerOf(context), rows);
        return { tenants: trusted.map(toTenant), meta };
      });
    },
  };
}
