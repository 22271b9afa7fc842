import { create } from "@bufbuild/protobuf";
import { type Cvlan, CvlanStatsSchema } from "@cloudvlan/gen/entity/v1/cvlan_pb.js";
import {
  type CreateCvlanRequest,
  CvlanService,
  type DeleteCvlanRequest,
  type GetCvlanRequest,
  type GetCvlanResponse,
  GetCvlanResponseSchema,
  type GetTenantStatsRequest,
  type GetTenantStatsResponse,
  GetTenantStatsResponseSchema,
  type ListCvlansRequest,
  type ListCvlansResponse,
  ListCvlansResponseSchema,
  type UpdateCvlanRequest,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Caller, subjectOf } from "@cloudvlan/kit/caller";
import { isForeignKeyViolation, isUniqueViolation } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { newId } from "@cloudvlan/kit/ids";
import { formatPrefix } from "@cloudvlan/kit/net";
import type { RegistryDeps } from "../deps.ts";
import { checkDomain, defaultDomain } from "../domain/dns.ts";
import { lastHost, parsePool, poolsOf } from "../domain/pool.ts";
import {
  cvlanUse,
  deleteCvlan as deleteRow,
  insertCvlan,
  listCvlans as listRows,
  nameTaken,
  requireCvlan,
  tenantUse,
  updateCvlan as updateRow,
} from "../store/cvlans.ts";
import { hasPendingDenial } from "../store/denials.ts";
import { domainsOf, domainTaken } from "../store/dns.ts";
import { pageOf, splitPage } from "@cloudvlan/kit/page";
import { databaseNow } from "../store/time.ts";
import { publishCvlan, publishDomain } from "./publish-cvlan.ts";
import { publishRelayMap } from "./publish-relay-map.ts";
import { tenantOf } from "./request.ts";
import { cvlanOf } from "./wire.ts";

export async function createCvlan(deps: RegistryDeps, request: CreateCvlanRequest, caller: Caller): Promise<Cvlan> {
  const tenantId = tenantOf(request);
  const ipv4Pool = formatPrefix(parsePool(request.ipv4Pool));
  const domain = domainOf(request.dnsDomain, request.name);
  // Auth alone knows whether there is such a tenant.
  await deps.auth.getKeyset({ tenantId });
  const id = newId("cvlan", deps.clock.nowMs());
  try {
    return await deps.enrolKeys.signing(tenantId, async (tx, key) => {
      const createdAt = await databaseNow(tx);
      const row = await insertCvlan(tx, deps.seals, {
        tenantId,
        id,
        name: request.name,
        ipv4Pool,
        createdAt,
        createdBy: subjectOf(caller),
      });
      await publishCvlan(deps, tx, key, row, domain);
      await publishRelayMap(deps, tx, key, tenantId, id);
      await deps.audit.record(tx, caller, {
        action: pathOf(CvlanService.method.createCvlan),
        objectId: id,
        outcome: "ok",
      });
      return cvlanOf(deps.clusterId, row, domain);
    });
  } catch (error) {
    throw conflictOf(error, request.name, domain);
  }
}

/** The domain that a request asks for. @throws Refusal `invalid`. */
function domainOf(domain: string, name: string): string {
  if (domain === "") return defaultDomain(name);
  checkDomain(domain);
  return domain;
}

/** What a violated key of the tables means in the words of a caller; the error itself when it is something else. */
function conflictOf(error: unknown, name: string, domain: string): unknown {
  if (isUniqueViolation(error, "cvlan_name")) return nameTaken(name);
  if (isUniqueViolation(error, "cvlan_dns_domain")) return domainTaken(domain);
  return error;
}

/** A repetition changes nothing and tells nobody. */
export async function updateCvlan(deps: RegistryDeps, request: UpdateCvlanRequest, caller: Caller): Promise<Cvlan> {
  const tenantId = tenantOf(request);
  let [name, domain] = ["", ""];
  try {
    return await deps.enrolKeys.signing(tenantId, async (tx, key) => {
      const current = await requireCvlan(tx, deps.seals, tenantId, request.cvlanId, "update");
      name = request.name ?? current.name;
      const row = name === current.name ? current : await updateRow(tx, deps.seals, { ...current, name });
      const wanted = request.dnsDomain === undefined ? undefined : domainOf(request.dnsDomain, name);
      domain = wanted ?? "";
      domain = await publishDomain(deps, tx, key, row, wanted);
      await deps.audit.record(tx, caller, {
        action: pathOf(CvlanService.method.updateCvlan),
        objectId: row.id,
        outcome: "ok",
      });
      return cvlanOf(deps.clusterId, row, domain);
    });
  } catch (error) {
    throw conflictOf(error, name, domain);
  }
}

export async function getCvlan(deps: RegistryDeps, request: GetCvlanRequest): Promise<GetCvlanResponse> {
  const tenantId = tenantOf(request);
  return deps.db.tenant(tenantId, async (tx) => {
    const row = await requireCvlan(tx, deps.seals, tenantId, request.cvlanId);
    const use = await cvlanUse(tx, tenantId, row.id);
    const domains = await domainsOf(tx, deps.seals, tenantId, [row.id]);
    const [ipv4] = poolsOf(row);
    return create(GetCvlanResponseSchema, {
      cvlan: cvlanOf(deps.clusterId, row, domains.get(row.id)),
      stats: create(CvlanStatsSchema, {
        nodes: BigInt(use.nodes),
        ipv4Addresses: { used: BigInt(use.addresses), total: lastHost(ipv4) },
      }),
    });
  });
}

export async function listCvlans(deps: RegistryDeps, request: ListCvlansRequest): Promise<ListCvlansResponse> {
  const tenantId = tenantOf(request);
  const page = pageOf("cvlan", request.pagination);
  return deps.db.tenant(tenantId, async (tx) => {
    const { rows, meta } = splitPage(page, await listRows(tx, tenantId, page));
    const genuine = rows.filter((row) => deps.seals.open("cvlan", row));
    const ids = genuine.map((row) => row.id);
    const domains = await domainsOf(tx, deps.seals, tenantId, ids);
    const cvlans = genuine.map((row) => cvlanOf(deps.clusterId, row, domains.get(row.id)));
    return create(ListCvlansResponseSchema, { cvlans, meta });
  });
}

export async function deleteCvlan(deps: RegistryDeps, request: DeleteCvlanRequest, caller: Caller): Promise<void> {
  const tenantId = tenantOf(request);
  try {
    await deps.db.tenant(tenantId, async (tx) => {
      const row = await requireCvlan(tx, deps.seals, tenantId, request.cvlanId, "update");
      const { nodes } = await cvlanUse(tx, tenantId, row.id);
      if (nodes > 0) throw inUse(row.id, `the cvlan has ${nodes} nodes`, "revoke its nodes first");
      if (await hasPendingDenial(tx, tenantId, row.id)) {
        throw inUse(row.id, "a revocation in the cvlan is not known everywhere yet", "try again in a minute");
      }
      await deleteRow(tx, tenantId, row.id);
      await deps.audit.record(tx, caller, {
        action: pathOf(CvlanService.method.deleteCvlan),
        objectId: row.id,
        outcome: "ok",
      });
    });
  } catch (error) {
    throw isForeignKeyViolation(error)
      ? inUse(request.cvlanId, "a node joins the cvlan", "revoke its nodes first")
      : error;
  }
}

export async function getTenantStats(
  deps: RegistryDeps,
  request: GetTenantStatsRequest,
): Promise<GetTenantStatsResponse> {
  const tenantId = tenantOf(request);
  // Auth alone knows whether there is such a tenant.
  await deps.auth.getKeyset({ tenantId });
  const { cvlans, nodes } = await deps.db.tenant(tenantId, (tx) => tenantUse(tx, tenantId));
  return create(GetTenantStatsResponseSchema, { stats: { cvlans: BigInt(cvlans), nodes: BigInt(nodes) } });
}

function inUse(objectId: string, message: string, remedy: string): Refusal {
  return new Refusal("conflict", "CVLAN_IN_USE", message, { objectId, remedy });
}
