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
import { newId, requireId } from "@cloudvlan/kit/ids";
import { sealOf } from "@cloudvlan/kit/keys";
import type { ServiceImpl } from "@connectrpc/connect";
import { firstKeyset } from "../domain/keyset.ts";
import { splitPage, pageOf } from "@cloudvlan/kit/page";
import { TENANT_TABLE, tenantFields } from "../domain/seals.ts";
import { newRootKey } from "../root-key.ts";
import type { TenantRow } from "../schema.ts";
import { findTenant, insertTenant, listTenants } from "../store.ts";
import { STREAM } from "../stream.ts";
import { type AuthContext, trustedTenants } from "../trusted.ts";
import { deleteTenant, nameTaken, updateTenant } from "../tenant-life.ts";
import { tenantNotFound } from "./common.ts";
import { delegatedRole, listKeyRotations, rotateDelegated } from "./rotate-delegated.ts";
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
      updatedAt: timestampFromDate(row.updatedAt ?? row.createdAt),
      createdBy: row.createdBy,
    },
    clusterId,
    revision: row.revision,
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
        revision: 1n,
        updatedAt: null,
      };
      try {
        await ctx.db.platform(async (tx) => {
          await insertTenant(tx, row);
          await ctx.changes.append(tx, STREAM, [{ objectId: id, change: { case: "keyset", value: row.keyset } }]);
          const action = pathOf(TenantService.method.createTenant);
          await ctx.audit.record(tx, caller, { action, objectId: id, outcome: "ok" });
        });
      } catch (error) {
        throw isUniqueViolation(error, "tenant_name_key") ? nameTaken(name) : error;
      }
      return { tenant: toTenant(row) };
    },

    /** The platform's callers see what is left of a deleted one; its own callers are refused. */
    async getTenant({ tenantId }, context) {
      const caller = callerOf(context);
      const id = requireId("tenant", tenantId, "tenant_id");
      const [row] = await ctx.db.tenant(id, async (tx) => {
        const found = await findTenant(tx, id);
        return trustedTenants(ctx, tx, caller, found ? [found] : []);
      });
      if (!row) throw tenantNotFound(id);
      return { tenant: toTenant(row) };
    },

    async updateTenant({ tenantId, name, status, baseRevision }, context) {
      const id = requireId("tenant", tenantId, "tenant_id");
      const action = pathOf(TenantService.method.updateTenant);
      const row = await updateTenant(ctx, callerOf(context), id, { name, status, baseRevision, action });
      ctx.standings.take({ tenantId: id, status: row.status, revision: row.revision });
      return { tenant: toTenant(row) };
    },

    async deleteTenant({ tenantId, baseRevision }, context) {
      const id = requireId("tenant", tenantId, "tenant_id");
      const action = pathOf(TenantService.method.deleteTenant);
      const row = await deleteTenant(ctx, callerOf(context), id, { baseRevision, action });
      return { tenant: toTenant(row) };
    },

    async rotateTenantKeys({ tenantId, which }, context) {
      const id = requireId("tenant", tenantId, "tenant_id");
      const role = delegatedRole(which);
      if (role === undefined) {
        const row = await rotateRoot(ctx, callerOf(context), id);
        return { tenant: toTenant(row), keysetVersion: row.keysetVersion };
      }
      const { row, rotation } = await rotateDelegated(ctx, callerOf(context), id, role);
      return { tenant: toTenant(row), keysetVersion: row.keysetVersion, rotation };
    },

    async listKeyRotations({ tenantId }, context) {
      const id = requireId("tenant", tenantId, "tenant_id");
      return { rotations: await listKeyRotations(ctx, callerOf(context), id) };
    },

    async listTenants({ pagination, showDeleted }, context) {
      const page = pageOf("tenant", pagination);
      return ctx.db.platform(async (tx) => {
        const { rows, meta } = splitPage(page, await listTenants(tx, page, showDeleted));
        const trusted = await trustedTenants(ctx, tx, callerOf(context), rows);
        return { tenants: trusted.map(toTenant), meta };
      });
    },
  };
}
