import { create } from "@bufbuild/protobuf";
import type { Region } from "@cloudvlan/gen/entity/v1/region_pb.js";
import {
  type CreateRegionRequest,
  type DeleteRegionRequest,
  type GetRegionRequest,
  type ListRegionsRequest,
  type ListRegionsResponse,
  ListRegionsResponseSchema,
  RegionService,
  type UpdateRegionRequest,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Caller, subjectOf } from "@cloudvlan/kit/caller";
import { isForeignKeyViolation, isUniqueViolation } from "@cloudvlan/kit/db";
import { newId } from "@cloudvlan/kit/ids";
import type { RegistryDeps } from "../deps.ts";
import { renameRegionOfServers } from "../store/discovery-servers.ts";
import { wakePublishers } from "../store/publications.ts";
import { pageOf, splitPage } from "@cloudvlan/kit/page";
import {
  deleteRegion as deleteRow,
  insertRegion,
  listRegions as listRows,
  regionInUse,
  regionNameTaken,
  regionNotFound,
  requireRegion,
  updateRegion as updateRow,
} from "../store/regions.ts";
import { databaseNow } from "../store/time.ts";
import { regionOf } from "./wire.ts";

export async function createRegion(deps: RegistryDeps, request: CreateRegionRequest, caller: Caller): Promise<Region> {
  const id = newId("region", deps.clock.nowMs());
  return deps.db.platform(async (tx) => {
    const row = {
      id,
      name: request.name,
      displayName: request.displayName,
      createdAt: await databaseNow(tx),
      createdBy: subjectOf(caller),
    };
    await insertRegion(tx, row);
    await deps.audit.record(tx, caller, {
      action: pathOf(RegionService.method.createRegion),
      objectId: id,
      outcome: "ok",
    });
    return regionOf(deps.clusterId, row);
  });
}

export async function listRegions(deps: RegistryDeps, request: ListRegionsRequest): Promise<ListRegionsResponse> {
  const page = pageOf("region", request.pagination);
  return deps.db.platform(async (tx) => {
    const { rows, meta } = splitPage(page, await listRows(tx, page));
    return create(ListRegionsResponseSchema, { regions: rows.map((row) => regionOf(deps.clusterId, row)), meta });
  });
}

export async function getRegion(deps: RegistryDeps, request: GetRegionRequest): Promise<Region> {
  return deps.db.platform(async (tx) => regionOf(deps.clusterId, await requireRegion(tx, request.regionId)));
}

/** A repetition changes nothing. */
export async function updateRegion(deps: RegistryDeps, request: UpdateRegionRequest, caller: Caller): Promise<Region> {
  try {
    return await deps.db.platform(async (tx) => {
      const current = await requireRegion(tx, request.regionId, "update");
      const { name = current.name, displayName = current.displayName } = request;
      const row = { ...current, name, displayName };
      await updateRow(tx, row);
      if (await renameRegionOfServers(tx, deps.seals, row.id, name, await databaseNow(tx))) await wakePublishers(tx);
      const action = pathOf(RegionService.method.updateRegion);
      await deps.audit.record(tx, caller, { action, objectId: row.id, outcome: "ok" });
      return regionOf(deps.clusterId, row);
    });
  } catch (error) {
    throw isUniqueViolation(error, "region_name") ? regionNameTaken(request.name ?? "") : error;
  }
}

export async function deleteRegion(deps: RegistryDeps, request: DeleteRegionRequest, caller: Caller): Promise<void> {
  const { regionId } = request;
  try {
    await deps.db.platform(async (tx) => {
      if (!(await deleteRow(tx, regionId))) throw regionNotFound();
      const action = pathOf(RegionService.method.deleteRegion);
      await deps.audit.record(tx, caller, { action, objectId: regionId, outcome: "ok" });
    });
  } catch (error) {
    throw isForeignKeyViolation(error) ? regionInUse(regionId) : error;
  }
}
