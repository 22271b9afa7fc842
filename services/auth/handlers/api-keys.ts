import { randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ApiKeyService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type ApiKey, ApiKeySchema, ApiKeyStatus } from "@cloudvlan/gen/entity/v1/api_key_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Authority, type Caller, callerOf, subjectOf } from "@cloudvlan/kit/caller";
import { Refusal } from "@cloudvlan/kit/errors";
import { newId, requireId } from "@cloudvlan/kit/ids";
import { sealOf } from "@cloudvlan/kit/keys";
import type { ServiceImpl } from "@connectrpc/connect";
import { deny } from "../deny.ts";
import { digestOf, formatApiKey, isGrantable } from "../domain/api-key.ts";
import { splitPage, pageOf } from "@cloudvlan/kit/page";
import { API_KEY_TABLE, apiKeyFields } from "../domain/seals.ts";
import type { ApiKeyRow } from "../schema.ts";
import { countLiveApiKeys, findApiKey, insertApiKey, listApiKeys, lockApiKey, markRevoked } from "../store.ts";
import { type AuthContext, trustedApiKeys } from "../trusted.ts";
import { presentTenant, requireActiveTenant, requireTenant } from "./common.ts";

const DEFAULT_TTL_SECONDS = 90 * 86_400;
const MIN_TTL_SECONDS = 60;
/** Keys of one tenant that are neither revoked nor expired. */
const MAX_LIVE_KEYS = 1000;

/** Who acts as a person. @throws Refusal for a service that acts for nobody. */
function authorityOf(caller: Caller): Authority {
  if (caller.authority) return caller.authority;
  throw new Refusal("denied", "NO_AUTHORITY", "only a person can grant permissions", {
    remedy: "call with an API key",
  });
}

/** @throws Refusal when the permissions are more than the caller's own. */
function checkGrant(authority: Authority, permissions: readonly Permission[]): void {
  const excess = permissions.filter((wanted) => !isGrantable(wanted) || !authority.permissions.has(wanted));
  if (excess.length === 0) return;
  const names = excess.map((wanted) => Permission[wanted]).join(", ");
  throw new Refusal("denied", "SCOPE_EXCEEDS_OWN", `a key cannot have permissions that its maker lacks: ${names}`, {
    field: "scope.permissions",
    remedy: "leave them out, or have somebody make the key who holds them",
  });
}

export function apiKeyHandlers(ctx: AuthContext): ServiceImpl<typeof ApiKeyService> {
  const toApiKey = (row: ApiKeyRow): ApiKey =>
    create(ApiKeySchema, {
      id: row.id,
      tenantId: row.tenantId ?? "",
      name: row.name,
      scope: { permissions: row.permissions },
      status: statusOf(row, ctx.clock.nowMs()),
      expiresAt: timestampFromDate(row.expiresAt),
      provenance: {
        createdAt: timestampFromDate(row.createdAt),
        updatedAt: timestampFromDate(row.revokedAt ?? row.createdAt),
        createdBy: row.createdBy,
      },
      clusterId: ctx.clusterId,
    });

  return {
    async createApiKey({ tenantId: asked, name, scope, ttlSeconds }, context) {
      const caller = callerOf(context);
      const tenantId = requireId("tenant", asked, "tenant_id");
      const permissions = scope?.permissions ?? [];
      checkGrant(authorityOf(caller), permissions);
      if (ttlSeconds !== 0 && ttlSeconds < MIN_TTL_SECONDS) {
        throw new Refusal("invalid", "TTL_TOO_SHORT", `a key lives at least ${MIN_TTL_SECONDS} seconds`, {
          field: "ttl_seconds",
          remedy: "give more seconds, or 0 for 90 days",
        });
      }
      const nowMs = ctx.clock.nowMs();
      const keyId = newId("apikey", nowMs);
      const secret = randomBytes(32).toString("base64url");
      const fields = {
        tenantId,
        id: keyId,
        name,
        digest: digestOf(secret),
        permissions,
        owner: false,
        expiresAt: new Date(nowMs + (ttlSeconds || DEFAULT_TTL_SECONDS) * 1000),
        revokedAt: null,
        createdAt: new Date(nowMs),
        createdBy: subjectOf(caller),
      };
      const row: ApiKeyRow = { ...fields, seal: sealOf(ctx.keys, API_KEY_TABLE, apiKeyFields(fields)) };
      await requireActiveTenant(ctx, caller, tenantId);
      await ctx.db.tenant(tenantId, async (tx) => {
        if ((await countLiveApiKeys(tx, tenantId, fields.createdAt)) >= MAX_LIVE_KEYS) {
          throw new Refusal("exhausted", "API_KEYS_EXHAUSTED", `the tenant has ${MAX_LIVE_KEYS} live API keys`, {
            objectId: tenantId,
            remedy: "revoke keys that are not used",
          });
        }
        await insertApiKey(tx, row);
        const action = pathOf(ApiKeyService.method.createApiKey);
        await ctx.audit.record(tx, caller, { action, objectId: keyId, outcome: "ok" });
      });
      return { apiKey: toApiKey(row), secret: formatApiKey({ tenantId, keyId, secret }) };
    },

    async getApiKey({ tenantId: asked, apiKeyId }, context) {
      const caller = callerOf(context);
      const tenantId = requireId("tenant", asked, "tenant_id");
      await requireTenant(ctx, caller, tenantId);
      const [row] = await ctx.db.tenant(tenantId, async (tx) => {
        const found = await findApiKey(tx, tenantId, apiKeyId);
        return trustedApiKeys(ctx, tx, caller, found ? [found] : []);
      });
      if (!row) throw keyNotFound();
      return { apiKey: toApiKey(row) };
    },

    async listApiKeys({ tenantId: asked, pagination }, context) {
      const caller = callerOf(context);
      const tenantId = requireId("tenant", asked, "tenant_id");
      const page = pageOf("apikey", pagination);
      await requireTenant(ctx, caller, tenantId);
      return ctx.db.tenant(tenantId, async (tx) => {
        const { rows, meta } = splitPage(page, await listApiKeys(tx, tenantId, page));
        const trusted = await trustedApiKeys(ctx, tx, caller, rows);
        return { apiKeys: trusted.map(toApiKey), meta };
      });
    },

    async revokeApiKey({ tenantId: asked, apiKeyId }, context) {
      const caller = callerOf(context);
      const tenantId = requireId("tenant", asked, "tenant_id");
      const row = await ctx.db.tenant(tenantId, async (tx) => {
        const found = await lockApiKey(tx, tenantId, apiKeyId);
        const [key] = await trustedApiKeys(ctx, tx, caller, found ? [found] : []);
        if (!key || key.revokedAt) return key;
        const fields = { ...key, revokedAt: new Date(ctx.clock.nowMs()) };
        const revoked: ApiKeyRow = { ...fields, seal: sealOf(ctx.keys, API_KEY_TABLE, apiKeyFields(fields)) };
        await markRevoked(tx, revoked);
        const action = pathOf(ApiKeyService.method.revokeApiKey);
        await ctx.audit.record(tx, caller, { action, objectId: key.id, outcome: "ok" });
        return revoked;
      });
      if (!row) throw keyNotFound();
      // The row refuses the key from here on. The denial ends what listeners still remember of it; should it be lost,
      // they forget by themselves within their 30 s, and a repeated call makes it good.
      await deny(ctx, `apikey:${row.id}`);
      return { apiKey: toApiKey(row) };
    },

    async whoAmI(_request, context) {
      const caller = callerOf(context);
      const { subject, tenantId, permissions } = authorityOf(caller);
      const tenant = tenantId && (await ctx.db.tenant(tenantId, (tx) => presentTenant(ctx, tx, caller, tenantId)));
      return {
        subject,
        tenantId: tenantId ?? "",
        tenantName: tenant?.name ?? "",
        permissions: [...permissions].toSorted((a, b) => a - b),
      };
    },
  };
}

function keyNotFound(): Refusal {
  return new Refusal("not_found", "API_KEY_NOT_FOUND", "there is no such API key", {
    field: "api_key_id",
    remedy: "list the keys of the tenant",
  });
}

function statusOf(row: ApiKeyRow, nowMs: number): ApiKeyStatus {
  if (row.revokedAt) return ApiKeyStatus.REVOKED;
  return row.expiresAt.getTime() <= nowMs ? ApiKeyStatus.EXPIRED : ApiKeyStatus.ACTIVE;
}
