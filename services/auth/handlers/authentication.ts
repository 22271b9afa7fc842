import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type AuthService, CallContextSchema } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { type Caller, callerOf } from "@cloudvlan/kit/caller";
import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { tenantSuspended } from "@cloudvlan/kit/server";
import { type SigningKey, signRecord } from "@cloudvlan/kit/sign";
import type { ServiceImpl } from "@connectrpc/connect";
import { allPermissions, type ApiKeyText, digestOf, parseApiKey, secretMatches } from "../domain/api-key.ts";
import type { ApiKeyRow } from "../schema.ts";
import { findApiKey } from "../store.ts";
import { type AuthContext, trustedApiKeys } from "../trusted.ts";
import { presentTenant } from "./common.ts";

const CONTEXT_MS = 60_000;
/** Compared with when there is no row, so that an unknown key takes as long as a wrong secret. */
const NO_DIGEST = digestOf("");

/** The same words whatever was wrong; only the audit knows. */
function refused(auditReason: string): Refusal {
  return new Refusal("unauthenticated", "CREDENTIAL_REFUSED", "the credential is not accepted", {
    remedy: "use an API key that is neither expired nor revoked",
    auditReason,
  });
}

type AuthenticationRpcs = Pick<ServiceImpl<typeof AuthService>, "authenticate" | "getContextKeys">;

/** Turns API keys into call contexts. */
export function authenticationHandlers(ctx: AuthContext, contextKey: SigningKey): AuthenticationRpcs {
  /** The row that the key names, or why there is none to be trusted. */
  async function lookUp(
    tx: Tx,
    caller: Caller,
    { tenantId, keyId, secret }: ApiKeyText,
  ): Promise<ApiKeyRow | string | Refusal> {
    const found = await findApiKey(tx, tenantId, keyId);
    const matches = secretMatches(secret, found?.digest ?? NO_DIGEST);
    if (!found) return "API_KEY_UNKNOWN";
    if (!matches) return "API_KEY_SECRET_MISMATCH";
    const [row] = await trustedApiKeys(ctx, tx, caller, [found]);
    if (!row) return "API_KEY_SEAL_BROKEN";
    if (row.revokedAt) return "API_KEY_REVOKED";
    if (row.expiresAt.getTime() <= ctx.clock.nowMs()) return "API_KEY_EXPIRED";
    const tenant = tenantId && (await presentTenant(ctx, tx, caller, tenantId));
    if (tenantId && !tenant) return "TENANT_NOT_ACTIVE";
    // Whoever has the secret may know.
    if (tenantId && tenant?.status === Status.SUSPENDED) return tenantSuspended(tenantId);
    return row;
  }

  async function authenticate(caller: Caller, text: string): Promise<ApiKeyRow> {
    const key = parseApiKey(text);
    if (!key) throw refused("API_KEY_MALFORMED");
    const work = (tx: Tx) => lookUp(tx, caller, key);
    const { tenantId } = key;
    const outcome = await (tenantId === undefined ? ctx.db.platform(work) : ctx.db.tenant(tenantId, work));
    if (typeof outcome === "string") throw refused(outcome);
    if (outcome instanceof Refusal) throw outcome;
    return outcome;
  }

  return {
    async authenticate({ apiKey, requestId }, context) {
      const row = await authenticate(callerOf(context), apiKey);
      const nowMs = ctx.clock.nowMs();
      const payload = create(CallContextSchema, {
        subject: `apikey:${row.id}`,
        tenantId: row.tenantId ?? "",
        // Rights that came with a later version are not in the row of an owner that was made before it.
        permissions: row.owner ? allPermissions() : row.permissions,
        requestId,
        issuedAt: timestampFromMs(nowMs),
        expiresAt: timestampFromMs(nowMs + CONTEXT_MS),
      });
      return { context: signRecord(contextKey, "call-context", toBinary(CallContextSchema, payload)) };
    },

    getContextKeys: () => ({ keys: [{ keyId: contextKey.keyId, publicKey: contextKey.publicKey }] }),
  };
}
