import { fileURLToPath } from "node:url";
import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { AuditService, DiagnosisService, NetmapService, PresenceService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { NodeService, RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { auditHandlers } from "@cloudvlan/kit/audit";
import { callerOf, nodeOf } from "@cloudvlan/kit/caller";
import { delegatedKeys } from "@cloudvlan/kit/delegation";
import { defineService } from "@cloudvlan/kit/service";
import { config } from "./config.ts";
import { locator } from "./handlers/locate.ts";
import { listPresence } from "./handlers/presence.ts";
import { reportEndpoints, reportLimit } from "./handlers/report.ts";
import { poll, watchStream } from "./handlers/watch.ts";
import { why } from "./handlers/why.ts";
import { evaluator } from "./live/evaluator.ts";
import { keysets } from "./live/keysets.ts";
import { openMaps } from "./live/maps.ts";
import { openPresence } from "./live/presence.ts";
import packageJson from "./package.json" with { type: "json" };
import { retireKeys } from "./live/retire.ts";
import { standing } from "./live/standing.ts";
import { secrets } from "./secrets.ts";

/** netmap: what each node may know, pushed as it changes. */
export const netmap = defineService({
  name: "netmap",
  config,
  provides: [NetmapService, DiagnosisService, PresenceService, AuditService],
  uses: [AuthService, NodeService, PolicyService, RegistryService],
  migrations: fileURLToPath(new URL("migrations", import.meta.url)),
  secrets,
  build: async (context) => {
    const auth = context.client(AuthService);
    const nodes = context.client(NodeService);
    const registry = context.client(RegistryService);
    const policy = context.client(PolicyService);
    const mapKeys = delegatedKeys({ ...context, service: "netmap", role: KeyRole.MAP, auth });
    const live = { ...context, auth, nodes, registry, policy, keysets: keysets(auth, context.log), mapKeys };
    const maps = openMaps(live);
    const presence = openPresence(context);
    const limit = reportLimit(context.config, context.clock);
    const deps = { ...context, maps, presence, locate: locator(nodes), limit };
    const whyDeps = { maps, nodes, registry, policy, evaluator: evaluator(context.config), ...standing(context) };
    return {
      routes: (router) => {
        router.service(NetmapService, {
          poll: async (request, handler) => ({ updates: await poll(deps, request, nodeOf(handler), handler.signal) }),
          reportEndpoints: async (request, handler) => {
            await reportEndpoints(deps, request, nodeOf(handler), callerOf(handler));
            return { version: packageJson.version };
          },
        });
        router.service(DiagnosisService, {
          why: (request, handler) => why(whyDeps, request, callerOf(handler), handler.signal),
        });
        router.service(AuditService, auditHandlers(context.db));
        router.service(PresenceService, { listPresence: (request) => listPresence(context.db, request) });
      },
      frames: [watchStream(deps)],
      jobs: [
        { name: "presence", run: (signal) => presence.run(signal) },
        { name: "maps", run: (signal) => maps.run(signal) },
        { name: "renew and replace keys", run: (signal) => mapKeys.run(signal) },
        { name: "retire keys", run: (signal) => retireKeys(live, signal) },
      ],
    };
  },
});
