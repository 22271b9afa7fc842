import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AuthService, CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import {
  AuditService,
  CvlanService,
  DiscoveryServerService,
  EnrollmentService,
  GroupService,
  NodeService,
  RegionService,
  RegistryService,
  SettingsService,
  TagService,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { auditHandlers } from "@cloudvlan/kit/audit";
import { callerOf } from "@cloudvlan/kit/caller";
import { delegatedKeys } from "@cloudvlan/kit/delegation";
import { defineService } from "@cloudvlan/kit/service";
import { config, defaultsOf } from "./config.ts";
import type { RegistryDeps } from "./deps.ts";
import { createCvlan, deleteCvlan, getCvlan, getTenantStats, listCvlans, updateCvlan } from "./handlers/cvlans.ts";
import { endDeletedTenants } from "./handlers/deleted-tenants.ts";
import { endDeniedBefore } from "./handlers/denied-before.ts";
import {
  createDiscoveryServer,
  deleteDiscoveryServer,
  getDiscoveryServer,
  listDiscoveryServers,
  updateDiscoveryServer,
} from "./handlers/discovery-servers.ts";
import {
  addGroupMember,
  createGroup,
  deleteGroup,
  getGroup,
  listGroupMembers,
  listGroups,
  removeGroupMember,
  updateGroup,
} from "./handlers/groups.ts";
import { beginJoin, join } from "./handlers/join.ts";
import { getNode, listNodes, updateNode } from "./handlers/nodes.ts";
import { publishDue } from "./handlers/publish-due.ts";
import { createRegion, deleteRegion, getRegion, listRegions, updateRegion } from "./handlers/regions.ts";
import { resignRecords } from "./handlers/resign.ts";
import { resolveTargets } from "./handlers/resolve.ts";
import { redriveDenials, revokeNode } from "./handlers/revoke.ts";
import { getSettings, updateSettings } from "./handlers/settings.ts";
import { listTags } from "./handlers/tags.ts";
import { refusedJoins } from "./handlers/token-audit.ts";
import { createJoinToken, getJoinToken, listJoinTokens, revokeJoinToken } from "./handlers/tokens.ts";
import { watchChanges } from "./handlers/watch.ts";
import { rowSeals } from "./seals.ts";
import { secrets } from "./secrets.ts";

/** Milliseconds between looks at revocations whose second half was lost. */
const REDRIVE_INTERVAL = 10_000;

/** registry: cvlans, nodes and their signed records, groups, tags, regions, discovery servers, join tokens, addresses. */
export const registry = defineService({
  name: "registry",
  config,
  provides: [
    CvlanService,
    NodeService,
    GroupService,
    TagService,
    RegionService,
    DiscoveryServerService,
    SettingsService,
    EnrollmentService,
    RegistryService,
    AuditService,
  ],
  uses: [AuthService, CertificateService],
  migrations: fileURLToPath(new URL("migrations", import.meta.url)),
  secrets,
  build: async (context) => {
    const auth = context.client(AuthService);
    const signing = {
      ...context,
      auth,
      certificates: context.client(CertificateService),
      defaults: defaultsOf(context.config),
      seals: rowSeals(context.keys, context.log),
    };
    const enrolKeys = delegatedKeys({
      ...signing,
      service: "registry",
      role: KeyRole.ENROL,
      resign: (tenantId, key) => resignRecords(signing, tenantId, key),
    });
    const deps: RegistryDeps = { ...signing, enrolKeys };
    const refused = refusedJoins(deps);
    return {
      routes: (router) => {
        router.service(CvlanService, {
          createCvlan: async (request, handler) => ({ cvlan: await createCvlan(deps, request, callerOf(handler)) }),
          getCvlan: (request) => getCvlan(deps, request),
          getTenantStats: (request) => getTenantStats(deps, request),
          listCvlans: (request) => listCvlans(deps, request),
          updateCvlan: async (request, handler) => ({ cvlan: await updateCvlan(deps, request, callerOf(handler)) }),
          deleteCvlan: async (request, handler) => {
            await deleteCvlan(deps, request, callerOf(handler));
            return {};
          },
        });
        router.service(NodeService, {
          getNode: async (request) => ({ node: await getNode(deps, request) }),
          listNodes: (request) => listNodes(deps, request),
          updateNode: async (request, handler) => ({ node: await updateNode(deps, request, callerOf(handler)) }),
          revokeNode: async (request, handler) => ({ node: await revokeNode(deps, request, callerOf(handler)) }),
        });
        router.service(GroupService, {
          createGroup: async (request, handler) => ({ group: await createGroup(deps, request, callerOf(handler)) }),
          getGroup: async (request) => ({ group: await getGroup(deps, request) }),
          listGroups: (request) => listGroups(deps, request),
          listGroupMembers: (request) => listGroupMembers(deps, request),
          updateGroup: async (request, handler) => ({ group: await updateGroup(deps, request, callerOf(handler)) }),
          deleteGroup: async (request, handler) => {
            await deleteGroup(deps, request, callerOf(handler));
            return {};
          },
          addGroupMember: async (request, handler) => {
            await addGroupMember(deps, request, callerOf(handler));
            return {};
          },
          removeGroupMember: async (request, handler) => {
            await removeGroupMember(deps, request, callerOf(handler));
            return {};
          },
        });
        router.service(TagService, { listTags: (request) => listTags(deps, request) });
        router.service(RegionService, {
          createRegion: async (request, handler) => ({ region: await createRegion(deps, request, callerOf(handler)) }),
          getRegion: async (request) => ({ region: await getRegion(deps, request) }),
          listRegions: (request) => listRegions(deps, request),
          updateRegion: async (request, handler) => ({ region: await updateRegion(deps, request, callerOf(handler)) }),
          deleteRegion: async (request, handler) => {
            await deleteRegion(deps, request, callerOf(handler));
            return {};
          },
        });
        router.service(DiscoveryServerService, {
          createDiscoveryServer: async (request, handler) => ({
            discoveryServer: await createDiscoveryServer(deps, request, callerOf(handler)),
          }),
          getDiscoveryServer: async (request) => ({ discoveryServer: await getDiscoveryServer(deps, request) }),
          listDiscoveryServers: (request) => listDiscoveryServers(deps, request),
          updateDiscoveryServer: async (request, handler) => ({
            discoveryServer: await updateDiscoveryServer(deps, request, callerOf(handler)),
          }),
          deleteDiscoveryServer: async (request, handler) => {
            await deleteDiscoveryServer(deps, request, callerOf(handler));
            return {};
          },
        });
        router.service(SettingsService, {
          getSettings: (request, handler) => getSettings(deps, request, callerOf(handler)),
          updateSettings: (request, handler) => updateSettings(deps, request, callerOf(handler)),
        });
        router.service(EnrollmentService, {
          createJoinToken: (request, handler) => createJoinToken(deps, request, callerOf(handler)),
          getJoinToken: async (request) => ({ token: await getJoinToken(deps, request) }),
          listJoinTokens: (request) => listJoinTokens(deps, request),
          revokeJoinToken: async (request, handler) => ({
            token: await revokeJoinToken(deps, request, callerOf(handler)),
          }),
          beginJoin: () => beginJoin(deps),
          join: (request, handler) => join(deps, refused, request, callerOf(handler)),
        });
        router.service(AuditService, auditHandlers(context.db));
        router.service(RegistryService, {
          resolveTargets: (request) => resolveTargets(deps, request),
          watchChanges: (request, handler) => watchChanges(deps, request, handler.signal),
        });
      },
      jobs: [
        { name: "renew and replace keys", run: (signal) => enrolKeys.run(signal) },
        { name: "publish cvlans", run: (signal) => publishDue(deps, signal) },
        { name: "end deleted tenants", run: (signal) => endDeletedTenants(deps, signal) },
        {
          name: "end denied memberships",
          run: async (signal) => void (await endDeniedBefore(deps, context.deniedBefore, signal)),
        },
        {
          name: "deny revoked nodes",
          run: async (signal) => {
            while (!signal.aborted) {
              await redriveDenials(deps, signal);
              await sleep(REDRIVE_INTERVAL, undefined, { signal }).catch(() => undefined);
            }
          },
        },
      ],
    };
  },
});
