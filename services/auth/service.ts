import { fileURLToPath } from "node:url";
import {
  ApiKeyService,
  AuditService,
  AuthService,
  CertificateService,
  TenantService,
} from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { auditHandlers } from "@cloudvlan/kit/audit";
import { defineService } from "@cloudvlan/kit/service";
import { config } from "./config.ts";
import { loadContextKey } from "./context-key.ts";
import { endTenantsDeniedBefore } from "./denied-before.ts";
import { apiKeyHandlers } from "./handlers/api-keys.ts";
import { authenticationHandlers } from "./handlers/authentication.ts";
import { certificateHandlers } from "./handlers/certificates.ts";
import { denialHandlers } from "./handlers/denials.ts";
import { keysetHandlers } from "./handlers/keysets.ts";
import { rotationHandlers } from "./handlers/rotate-delegated.ts";
import { tenantHandlers } from "./handlers/tenants.ts";
import { ensureOwnerKey } from "./owner-key.ts";
import { secrets } from "./secrets.ts";

/** auth: tenants and their root keys, API keys, certificates, call contexts and denials. */
export const auth = defineService({
  name: "auth",
  config,
  provides: [TenantService, ApiKeyService, CertificateService, AuthService, AuditService],
  uses: [],
  migrations: fileURLToPath(new URL("migrations", import.meta.url)),
  secrets,
  build: async (context) => {
    const contextKey = await loadContextKey(context);
    await ensureOwnerKey(context);
    return {
      routes: (router) => {
        router.service(TenantService, tenantHandlers(context));
        router.service(ApiKeyService, apiKeyHandlers(context));
        router.service(CertificateService, certificateHandlers(context));
        router.service(AuditService, auditHandlers(context.db));
        router.service(AuthService, {
          ...authenticationHandlers(context, contextKey),
          ...keysetHandlers(context),
          ...rotationHandlers(context),
          ...denialHandlers(context),
        });
      },
      jobs: [{ name: "end deleted tenants", run: (signal) => endTenantsDeniedBefore(context, signal) }],
    };
  },
});
