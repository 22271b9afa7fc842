import { fileURLToPath } from "node:url";
import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { AuditService, PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { auditHandlers } from "@cloudvlan/kit/audit";
import { callerOf } from "@cloudvlan/kit/caller";
import { delegatedKeys } from "@cloudvlan/kit/delegation";
import { defineService } from "@cloudvlan/kit/service";
import { config } from "./config.ts";
import { applyPolicy, type PolicyDeps } from "./handlers/apply.ts";
import { getPolicy, watchChanges } from "./handlers/read.ts";
import { resignPolicies } from "./handlers/resign.ts";
import { secrets } from "./secrets.ts";

/** policy: one document a cvlan and the signed rules made from it. */
export const policy = defineService({
  name: "policy",
  config,
  provides: [PolicyService, AuditService],
  uses: [AuthService, RegistryService],
  migrations: fileURLToPath(new URL("migrations", import.meta.url)),
  secrets,
  build: async (context) => {
    const auth = context.client(AuthService);
    const policyKeys = delegatedKeys({
      ...context,
      service: "policy",
      role: KeyRole.POLICY,
      auth,
      resign: (tenantId, key) => resignPolicies(context, tenantId, key),
    });
    const deps: PolicyDeps = {
      ...context,
      registry: context.client(RegistryService),
      policyKeys,
    };
    return {
      routes: (router) => {
        router.service(AuditService, auditHandlers(context.db));
        router.service(PolicyService, {
          applyPolicy: async (request, handler) => ({ policy: await applyPolicy(deps, request, callerOf(handler)) }),
          getPolicy: async (request) => ({ policy: await getPolicy(deps, request) }),
          watchChanges: (request, handler) => watchChanges(deps, request, handler.signal),
        });
      },
      jobs: [{ name: "renew and replace keys", run: (signal) => policyKeys.run(signal) }],
    };
  },
});
