import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Provenance, ProvenanceSchema, Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { type Cvlan, CvlanSchema } from "@cloudvlan/gen/entity/v1/cvlan_pb.js";
import { type JoinToken, JoinTokenSchema, JoinTokenStatus } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import { type DiscoveryServer, DiscoveryServerSchema } from "@cloudvlan/gen/entity/v1/discovery_server_pb.js";
import { type Group, GroupSchema } from "@cloudvlan/gen/entity/v1/group_pb.js";
import { type Node, NodeSchema } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { type Region, RegionSchema } from "@cloudvlan/gen/entity/v1/region_pb.js";
import { formatAddress } from "@cloudvlan/kit/net";
import { addressesOf } from "../domain/pool.ts";
import { parseEndpoint } from "../domain/server-endpoints.ts";
import type { CvlanRow } from "../store/cvlans.ts";
import type { ServerRow } from "../store/discovery-servers.ts";
import type { GroupRow } from "../store/groups.ts";
import type { NodeRow } from "../store/nodes.ts";
import type { RegionRow } from "../store/regions.ts";
import type { TokenRow } from "../store/tokens.ts";

function provenanceOf(row: { createdAt: Date; createdBy: string }): Provenance {
  const createdAt = timestampFromDate(row.createdAt);
  return create(ProvenanceSchema, { createdAt, updatedAt: createdAt, createdBy: row.createdBy });
}

/** @param dnsDomain undefined before the cvlan's first DNS record. */
export function cvlanOf(clusterId: string, row: CvlanRow, dnsDomain: string | undefined): Cvlan {
  return create(CvlanSchema, {
    id: row.id,
    tenantId: row.tenantId,
    name: row.name,
    ipv4Pool: row.ipv4Pool,
    ipv6Prefix: row.ipv6Prefix,
    status: Status.ACTIVE,
    provenance: provenanceOf(row),
    clusterId,
    dnsDomain: dnsDomain ?? "",
  });
}

export function nodeOf(clusterId: string, cvlan: CvlanRow, row: NodeRow, groupIds: readonly string[]): Node {
  const node = create(NodeSchema, {
    id: row.id,
    tenantId: row.tenantId,
    cvlanId: row.cvlanId,
    name: row.name,
    kind: row.kind,
    status: row.status,
    addresses: addressesOf(cvlan, row.host).map(formatAddress),
    wireguardPublicKey: row.wireguardPublicKey,
    controlPublicKey: row.controlPublicKey,
    tags: row.tags,
    groupIds: [...groupIds],
    routes: row.routes.map((prefix) => ({ prefix })),
    capabilityVersion: Number(row.capabilityVersion),
    clusterId,
  });
  if (row.joinedAt) node.joinedAt = timestampFromDate(row.joinedAt);
  if (row.revokedAt) node.revokedAt = timestampFromDate(row.revokedAt);
  return node;
}

export function groupOf(clusterId: string, row: GroupRow): Group {
  const { id, tenantId, cvlanId, name } = row;
  return create(GroupSchema, { id, tenantId, cvlanId, name, provenance: provenanceOf(row), clusterId });
}

export function regionOf(clusterId: string, row: RegionRow): Region {
  const { id, name, displayName } = row;
  return create(RegionSchema, { id, name, displayName, provenance: provenanceOf(row), clusterId });
}

export function discoveryServerOf(clusterId: string, row: ServerRow): DiscoveryServer {
  const { id, name, regionId, endpoints } = row;
  const provenance = { ...provenanceOf(row), updatedAt: timestampFromDate(row.updatedAt) };
  return create(DiscoveryServerSchema, {
    id,
    name,
    regionId,
    status: Status.ACTIVE,
    endpoints: endpoints.map((text) => {
      const { address, port } = parseEndpoint(text);
      return { address: formatAddress(address), port };
    }),
    provenance,
    clusterId,
  });
}

/** @param now the database's time, which also set the expiry. */
export function tokenOf(clusterId: string, row: TokenRow, now: Date): JoinToken {
  return create(JoinTokenSchema, {
    id: row.id,
    tenantId: row.tenantId,
    cvlanId: row.cvlanId,
    status: statusOf(row, now),
    expiresAt: timestampFromDate(row.expiresAt),
    tags: row.tags,
    groupIds: row.groupIds,
    nodeKind: row.nodeKind,
    nodeId: row.nodeId ?? "",
    provenance: provenanceOf(row),
    clusterId,
  });
}

function statusOf(row: TokenRow, now: Date): JoinTokenStatus {
  if (row.revokedAt) return JoinTokenStatus.REVOKED;
  if (row.usedBy) return JoinTokenStatus.USED;
  return row.expiresAt <= now ? JoinTokenStatus.EXPIRED : JoinTokenStatus.UNUSED;
}
