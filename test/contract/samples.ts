import { randomBytes } from "node:crypto";
import { create, type DescMessage, type DescMethod, type DescService, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ApiKeyService,
  AuditService as AuthAuditService,
  AuthService,
  CertificateService,
  KeyRotationStage,
  TenantKeys,
  TenantService,
} from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import {
  AuditService as NetmapAuditService,
  DiagnosisService,
  NetmapService,
  PresenceService,
} from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { SettingsLayer } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { PolicyTargetSchema } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { AuditService as PolicyAuditService, PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import {
  AuditService as RegistryAuditService,
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
import { services } from "@cloudvlan/all";
import { pathOf } from "@cloudvlan/kit/access";
import { newId } from "@cloudvlan/kit/ids";
import { createClient } from "@connectrpc/connect";
import type { Installation } from "./installation.ts";
import { joinRequest, type Member, newMachineKeys, parseJoinString } from "./member.ts";
import { until } from "./until.ts";
import { allow, ANY, newName, type Side, typed } from "./world.ts";

/** What samples are made from: the tenant they belong to, and a member and a group of it that stay. */
export interface Ground {
  readonly installation: Installation;
  readonly side: Side;
  readonly member: Member;
  readonly group: { readonly id: string; readonly name: string };
}

/** Makes a request that succeeds once, on objects of the ground's tenant; what it destroys is made for it. */
export type Sample = (ground: Ground) => Promise<MessageInitShape<DescMessage>>;

/** Every RPC that the control plane serves. */
export const METHODS: readonly DescMethod[] = services.flatMap(({ provides }) =>
  provides.flatMap((service: DescService) => service.methods),
);

const table = new Map<string, Sample>();

function sample<I extends DescMessage>(
  method: DescMethod & { readonly input: I },
  make: (ground: Ground) => MessageInitShape<I> | Promise<MessageInitShape<I>>,
): void {
  table.set(pathOf(method), async (ground) => (await make(ground)) as MessageInitShape<DescMessage>);
}

/** @throws Error for an RPC that the table lacks: nobody may add an RPC without saying how it is called. */
export function sampleOf(method: DescMethod): Sample {
  const found = table.get(pathOf(method));
  if (!found) throw new Error(`${pathOf(method)} has no sample request; add one to test/contract/samples.ts`);
  return found;
}

/** Paths of the table, to find those that no RPC has any more. */
export function samplePaths(): string[] {
  return [...table.keys()];
}

const ownerOf = ({ installation }: Ground) => installation.person(installation.ownerKey);
const groupTarget = ({ group }: Ground) => create(PolicyTargetSchema, { target: { case: "group", value: group.name } });
const scopeOf = ({ side }: Ground) => ({ tenantId: side.tenantId, cvlanId: side.cvlanId });

/** A tenant of nobody's, to be changed or deleted. */
async function otherTenant(ground: Ground): Promise<string> {
  const { tenant } = await createClient(TenantService, ownerOf(ground)).createTenant({ name: newName("tenant") });
  return tenant?.id ?? "";
}

const replaced = new WeakMap<Installation, Promise<string>>();

/** The key that registry signs with since the former one of the tenant was replaced: what it said of it can be said again. */
function replacedEnrolKey({ installation, side: { tenantId } }: Ground): Promise<string> {
  const known = replaced.get(installation);
  if (known) return known;
  const replace = async (): Promise<string> => {
    const tenants = createClient(TenantService, installation.person(installation.ownerKey));
    await tenants.rotateTenantKeys({ tenantId, which: TenantKeys.ENROL });
    let keyId = "";
    await until("the key of the tenant is replaced", async () => {
      const { rotations } = await tenants.listKeyRotations({ tenantId });
      const done = rotations.find(({ role, stage }) => role === KeyRole.ENROL && stage === KeyRotationStage.DONE);
      keyId = done?.keyId ?? "";
      return done !== undefined;
    });
    return keyId;
  };
  const replacing = replace();
  replaced.set(installation, replacing);
  return replacing;
}

sample(TenantService.method.createTenant, () => ({ name: newName("tenant") }));
sample(TenantService.method.getTenant, ({ side }) => ({ tenantId: side.tenantId }));
sample(TenantService.method.listTenants, () => ({}));
sample(TenantService.method.updateTenant, async (ground) => ({
  tenantId: await otherTenant(ground),
  name: newName("renamed"),
}));
sample(TenantService.method.deleteTenant, async (ground) => {
  const tenantId = await otherTenant(ground);
  await createClient(TenantService, ownerOf(ground)).updateTenant({ tenantId, status: Status.SUSPENDED });
  return { tenantId };
});
sample(TenantService.method.rotateTenantKeys, ({ side }) => ({ tenantId: side.tenantId, which: TenantKeys.ROOT }));
sample(TenantService.method.listKeyRotations, ({ side }) => ({ tenantId: side.tenantId }));

sample(ApiKeyService.method.createApiKey, ({ side }) => ({
  tenantId: side.tenantId,
  name: newName("key"),
  scope: { permissions: [Permission.TENANT_READ] },
}));
sample(ApiKeyService.method.getApiKey, async ({ side }) => ({
  tenantId: side.tenantId,
  apiKeyId: (await side.newKey([Permission.TENANT_READ])).id,
}));
sample(ApiKeyService.method.listApiKeys, ({ side }) => ({ tenantId: side.tenantId }));
sample(ApiKeyService.method.revokeApiKey, async ({ side }) => ({
  tenantId: side.tenantId,
  apiKeyId: (await side.newKey([Permission.TENANT_READ])).id,
}));
sample(ApiKeyService.method.whoAmI, () => ({}));

sample(CertificateService.method.getTrustBundle, () => ({}));
sample(CertificateService.method.renewCertificate, async () => ({ csr: (await newMachineKeys()).csr }));
sample(CertificateService.method.mintCertificate, async ({ side }) => ({
  tenantId: side.tenantId,
  nodeId: newId("node", Date.now()),
  csr: (await newMachineKeys()).csr,
}));

sample(AuthService.method.authenticate, ({ side }) => ({ apiKey: side.admin, requestId: "contract-suite" }));
sample(AuthService.method.getContextKeys, () => ({}));
sample(AuthService.method.delegateKey, ({ side }) => ({
  tenantId: side.tenantId,
  role: KeyRole.ENROL,
  publicKey: new Uint8Array(randomBytes(32)),
}));
sample(AuthService.method.getKeyset, ({ side }) => ({ tenantId: side.tenantId }));
sample(AuthService.method.listUnfinishedKeyRotations, () => ({}));
sample(AuthService.method.reportKeyRotation, async (ground) => ({
  tenantId: ground.side.tenantId,
  role: KeyRole.ENROL,
  keyId: await replacedEnrolKey(ground),
  stage: KeyRotationStage.SIGNING,
}));
sample(AuthService.method.deny, ({ side }) => ({ tenantId: side.tenantId, nodeId: newId("node", Date.now()) }));
sample(AuthService.method.watchChanges, () => ({}));

sample(CvlanService.method.createCvlan, ({ side }) => ({ tenantId: side.tenantId, name: newName("lan") }));
sample(CvlanService.method.getCvlan, scopeOf);
sample(CvlanService.method.getTenantStats, ({ side }) => ({ tenantId: side.tenantId }));
sample(CvlanService.method.listCvlans, ({ side }) => ({ tenantId: side.tenantId }));
sample(CvlanService.method.updateCvlan, (ground) => ({
  ...scopeOf(ground),
  dnsDomain: `${newName("domain")}.example.com`,
}));
sample(CvlanService.method.deleteCvlan, async ({ side }) => ({
  tenantId: side.tenantId,
  cvlanId: await side.newCvlan(),
}));

const nodeIds = ({ member }: Ground) => ({ tenantId: member.tenantId, nodeId: member.nodeId });
sample(NodeService.method.getNode, nodeIds);
sample(NodeService.method.listNodes, scopeOf);
sample(NodeService.method.updateNode, (ground) => ({
  ...nodeIds(ground),
  tags: { tags: { role: newName("tag") } },
}));
sample(NodeService.method.revokeNode, async ({ side }) => {
  const { tenantId, nodeId } = await side.newMember();
  return { tenantId, nodeId };
});

sample(GroupService.method.createGroup, (ground) => ({ ...scopeOf(ground), name: newName("group") }));
const groupIds = ({ side, group }: Ground) => ({ tenantId: side.tenantId, groupId: group.id });
sample(GroupService.method.getGroup, groupIds);
sample(GroupService.method.updateGroup, async ({ side }) => ({
  tenantId: side.tenantId,
  groupId: (await side.newGroup()).id,
  name: newName("renamed"),
}));
sample(GroupService.method.listGroupMembers, groupIds);
sample(GroupService.method.listGroups, scopeOf);
sample(GroupService.method.deleteGroup, async ({ side }) => ({
  tenantId: side.tenantId,
  groupId: (await side.newGroup()).id,
}));
sample(GroupService.method.addGroupMember, (ground) => ({ ...nodeIds(ground), groupId: ground.group.id }));
sample(GroupService.method.removeGroupMember, (ground) => ({ ...nodeIds(ground), groupId: ground.group.id }));
sample(TagService.method.listTags, scopeOf);

sample(RegionService.method.createRegion, () => ({ name: newName("region"), displayName: "A region" }));
sample(RegionService.method.listRegions, () => ({}));
const newRegion = async (ground: Ground) => {
  const regions = createClient(RegionService, ownerOf(ground));
  const { region } = await regions.createRegion({ name: newName("region") });
  return { regionId: typed("region", region?.id) };
};
sample(RegionService.method.getRegion, newRegion);
sample(RegionService.method.updateRegion, async (ground) => ({ ...(await newRegion(ground)), displayName: "Renamed" }));
sample(RegionService.method.deleteRegion, newRegion);

/** Of few there may be at once: one that a sample left goes before there are too many. */
const newServerRequest = async (ground: Ground) => {
  const servers = createClient(DiscoveryServerService, ownerOf(ground));
  const { discoveryServers } = await servers.listDiscoveryServers({});
  const [oldest] = discoveryServers;
  if (oldest && discoveryServers.length >= 32) {
    await servers.deleteDiscoveryServer({ discoveryServerId: oldest.id });
  }
  const groups = randomBytes(12).toString("hex").match(/.{4}/g) ?? [];
  const endpoints = [{ address: ["2001", "db8", ...groups].join(":"), port: 3478 }];
  return { ...(await newRegion(ground)), name: newName("server"), endpoints };
};
const newServer = async (ground: Ground) => {
  const servers = createClient(DiscoveryServerService, ownerOf(ground));
  const { discoveryServer } = await servers.createDiscoveryServer(await newServerRequest(ground));
  return { discoveryServerId: typed("discoveryserver", discoveryServer?.id) };
};
sample(DiscoveryServerService.method.createDiscoveryServer, newServerRequest);
sample(DiscoveryServerService.method.getDiscoveryServer, newServer);
sample(DiscoveryServerService.method.listDiscoveryServers, () => ({}));
sample(DiscoveryServerService.method.updateDiscoveryServer, async (ground) => ({
  ...(await newServer(ground)),
  name: newName("renamed"),
}));
sample(DiscoveryServerService.method.deleteDiscoveryServer, newServer);

const layerOf = (ground: Ground) => ({ ...scopeOf(ground), layer: SettingsLayer.CVLAN });
sample(SettingsService.method.getSettings, layerOf);
sample(SettingsService.method.updateSettings, (ground) => ({
  ...layerOf(ground),
  settings: { mapTtlSeconds: 86_400 },
}));

sample(EnrollmentService.method.createJoinToken, (ground) => ({ ...scopeOf(ground), groupIds: [ground.group.id] }));
sample(EnrollmentService.method.getJoinToken, async ({ side }) => {
  const { tenantId, tokenId } = parseJoinString(await side.newToken());
  return { tenantId, tokenId };
});
sample(EnrollmentService.method.listJoinTokens, scopeOf);
sample(EnrollmentService.method.revokeJoinToken, async ({ side }) => {
  const { tenantId, tokenId } = parseJoinString(await side.newToken());
  return { tenantId, tokenId };
});
sample(EnrollmentService.method.beginJoin, () => ({}));
sample(EnrollmentService.method.join, async ({ installation, side }) =>
  joinRequest(installation.anonymous(), await side.newToken(), await newMachineKeys(), newName("node")),
);

sample(RegistryService.method.resolveTargets, (ground) => ({
  ...scopeOf(ground),
  targets: [groupTarget(ground)],
}));
sample(RegistryService.method.watchChanges, scopeOf);

sample(PolicyService.method.applyPolicy, (ground) => ({
  ...scopeOf(ground),
  document: { rules: [allow(newName("rule"), ANY, { case: "group", value: ground.group.name })] },
}));
sample(PolicyService.method.getPolicy, scopeOf);
sample(PolicyService.method.watchChanges, scopeOf);

sample(PresenceService.method.listPresence, (ground) => ({ ...scopeOf(ground), nodeIds: [ground.member.nodeId] }));
sample(NetmapService.method.watch, () => ({}));
sample(NetmapService.method.poll, () => ({}));
sample(NetmapService.method.reportEndpoints, () => ({ endpoints: [{ address: "192.0.2.1", port: 51820 }] }));

sample(DiagnosisService.method.why, (ground) => ({
  ...scopeOf(ground),
  source: ground.member.nodeId,
  destination: "192.0.2.1",
  probes: [{ protocol: 6, port: 443 }],
}));

for (const { method } of [AuthAuditService, RegistryAuditService, PolicyAuditService, NetmapAuditService]) {
  sample<DescMessage>(method.listAuditLogs, ({ side }) => ({ tenantId: side.tenantId, filter: { actor: "nobody" } }));
}
