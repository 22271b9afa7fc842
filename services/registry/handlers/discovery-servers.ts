import { create } from "@bufbuild/protobuf";
import type { DiscoveryServer } from "@cloudvlan/gen/entity/v1/discovery_server_pb.js";
import {
  type CreateDiscoveryServerRequest,
  type DeleteDiscoveryServerRequest,
  DiscoveryServerService,
  type GetDiscoveryServerRequest,
  type ListDiscoveryServersRequest,
  type ListDiscoveryServersResponse,
  ListDiscoveryServersResponseSchema,
  type UpdateDiscoveryServerRequest,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Caller, subjectOf } from "@cloudvlan/kit/caller";
import { isUniqueViolation, type Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { newId } from "@cloudvlan/kit/ids";
import { pageOf, splitPage } from "@cloudvlan/kit/page";
import type { RegistryDeps } from "../deps.ts";
import { MAX_SERVERS } from "../domain/relay-map.ts";
import { checkEndpoints } from "../domain/server-endpoints.ts";
import {
  allServers,
  deleteServer,
  isServer,
  listServers,
  putServer,
  requireServer,
  serverNameTaken,
  serverNotFound,
  type ServerRow,
} from "../store/discovery-servers.ts";
import { wakePublishers } from "../store/publications.ts";
import { requireRegion } from "../store/regions.ts";
import { lockRelayRevision } from "../store/relay-maps.ts";
import { databaseNow } from "../store/time.ts";
import { discoveryServerOf } from "./wire.ts";

const METHODS = DiscoveryServerService.method;

export async function createDiscoveryServer(
  deps: RegistryDeps,
  request: CreateDiscoveryServerRequest,
  caller: Caller,
): Promise<DiscoveryServer> {
  const { name, regionId } = request;
  const endpoints = checkEndpoints(request.endpoints);
  const id = newId("discoveryserver", deps.clock.nowMs());
  return platform(deps, name, async (tx) => {
    const region = await requireRegion(tx, regionId, "update");
    await lockRelayRevision(tx);
    const others = await allServers(tx, deps.seals);
    if (others.length >= MAX_SERVERS) throw full();
    checkUnique(others, name, endpoints);
    const now = await databaseNow(tx);
    const row = await putServer(tx, deps.seals, {
      id,
      name,
      regionId,
      regionName: region.name,
      endpoints,
      createdAt: now,
      updatedAt: now,
      createdBy: subjectOf(caller),
    });
    await wakePublishers(tx);
    await deps.audit.record(tx, caller, { action: pathOf(METHODS.createDiscoveryServer), objectId: id, outcome: "ok" });
    return discoveryServerOf(deps.clusterId, row);
  });
}

export async function getDiscoveryServer(
  deps: RegistryDeps,
  request: GetDiscoveryServerRequest,
): Promise<DiscoveryServer> {
  return deps.db.platform(async (tx) =>
    discoveryServerOf(deps.clusterId, await requireServer(tx, deps.seals, request.discoveryServerId)),
  );
}

export async function listDiscoveryServers(
  deps: RegistryDeps,
  request: ListDiscoveryServersRequest,
): Promise<ListDiscoveryServersResponse> {
  const page = pageOf("discoveryserver", request.pagination);
  return deps.db.platform(async (tx) => {
    const { rows, meta } = splitPage(page, await listServers(tx, page));
    const discoveryServers = rows
      .filter((row) => isServer(deps.seals, row))
      .map((row) => discoveryServerOf(deps.clusterId, row));
    return create(ListDiscoveryServersResponseSchema, { discoveryServers, meta });
  });
}

/** A repetition changes nothing and tells nobody. */
export async function updateDiscoveryServer(
  deps: RegistryDeps,
  request: UpdateDiscoveryServerRequest,
  caller: Caller,
): Promise<DiscoveryServer> {
  const given = request.endpoints.length > 0 ? checkEndpoints(request.endpoints) : undefined;
  return platform(deps, request.name ?? "", async (tx) => {
    const region = request.regionId === undefined ? undefined : await requireRegion(tx, request.regionId, "update");
    await lockRelayRevision(tx);
    const current = await requireServer(tx, deps.seals, request.discoveryServerId);
    const { name = current.name } = request;
    const endpoints = given ?? current.endpoints;
    const regionId = region?.id ?? current.regionId;
    const regionName = region?.name ?? current.regionName;
    const others = (await allServers(tx, deps.seals)).filter(({ id }) => id !== current.id);
    checkUnique(others, name, endpoints);
    const wanted = { ...current, name, regionId, regionName, endpoints };
    const row = isSame(current, wanted) ? current : await changed(tx, wanted);
    const action = pathOf(METHODS.updateDiscoveryServer);
    await deps.audit.record(tx, caller, { action, objectId: row.id, outcome: "ok" });
    return discoveryServerOf(deps.clusterId, row);
  });

  async function changed(tx: Tx, wanted: ServerRow): Promise<ServerRow> {
    const row = await putServer(tx, deps.seals, { ...wanted, updatedAt: await databaseNow(tx) });
    await wakePublishers(tx);
    return row;
  }
}

export async function deleteDiscoveryServer(
  deps: RegistryDeps,
  request: DeleteDiscoveryServerRequest,
  caller: Caller,
): Promise<void> {
  const objectId = request.discoveryServerId;
  await deps.db.platform(async (tx) => {
    if (!(await deleteServer(tx, objectId))) throw serverNotFound();
    await wakePublishers(tx);
    await deps.audit.record(tx, caller, { action: pathOf(METHODS.deleteDiscoveryServer), objectId, outcome: "ok" });
  });
}

/** A transaction in which a server gets a name, that of a row which is not ours included. */
async function platform<T>(deps: RegistryDeps, name: string, work: (tx: Tx) => Promise<T>): Promise<T> {
  try {
    return await deps.db.platform(work);
  } catch (error) {
    throw isUniqueViolation(error, "discovery_server_name") ? serverNameTaken(name) : error;
  }
}

/** Two servers of one address would pass for two where a node asks two to learn what its NAT does. */
function checkUnique(others: readonly ServerRow[], name: string, endpoints: readonly string[]): void {
  if (others.some((other) => other.name === name)) throw serverNameTaken(name);
  for (const [index, endpoint] of endpoints.entries()) {
    const holder = others.find((other) => other.endpoints.includes(endpoint));
    if (!holder) continue;
    throw new Refusal("exists", "ENDPOINT_TAKEN", `the discovery server ${holder.name} answers at ${endpoint}`, {
      field: `endpoints[${index}]`,
      objectId: holder.id,
      remedy: "name each endpoint at one server",
    });
  }
}

function isSame(a: ServerRow, b: ServerRow): boolean {
  const said = ({ name, regionId, regionName, endpoints }: ServerRow) =>
    JSON.stringify([name, regionId, regionName, endpoints]);
  return said(a) === said(b);
}

function full(): Refusal {
  return new Refusal("exhausted", "DISCOVERY_SERVERS_FULL", `there are ${MAX_SERVERS} discovery servers already`, {
    remedy: "delete one that nobody needs, or give an existing one another endpoint",
  });
}
