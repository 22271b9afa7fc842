import { fileURLToPath } from "node:url";
import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { callerOf } from "@cloudvlan/kit/caller";
import { defineService } from "@cloudvlan/kit/service";
import { config } from "./config.ts";
import { applyPolicy, type PolicyDeps } from "./handlers/apply.ts";
import { getPolicy, watchChanges } from "./handlers/read.ts";
import { policyKeys } from "./signer.ts";

/** policy: one document a cvlan and the signed rules made from it. */
export const policy = defineService({
  name: "policy",
  config,
  provides: [PolicyService],
  uses: [AuthService, RegistryService],
  migrations: fileURLToPath(new URL("migrations", import.meta.url)),
  build: async (context) => {
    const deps: PolicyDeps = {
      ...context,
      registry: context.client(RegistryService),
      policyKeys: policyKeys(context.db, context.keys, context.client(AuthService)),
    };
    return {
      routes: (router) => {
        router.service(PolicyService, {
          applyPolicy: async (request, handler) => ({ policy: await applyPolicy(deps, request, callerOf(handler)) }),
          getPolicy: async (request) => ({ policy: await getPolicy(deps, request) }),
          watchChanges: (request, handler) => watchChanges(deps.changes, request, handler.signal),
        });
      },
    };
  },
});
