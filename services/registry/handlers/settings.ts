import { create, equals } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type EffectiveSettings,
  type LayerSettings,
  LayerSettingsSchema,
  type Settings,
  SettingsLayer,
  SettingsSchema,
} from "@cloudvlan/gen/entity/v1/settings_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import {
  type GetSettingsRequest,
  type GetSettingsResponse,
  GetSettingsResponseSchema,
  SettingsService,
  type UpdateSettingsRequest,
  type UpdateSettingsResponse,
  UpdateSettingsResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Caller, subjectOf } from "@cloudvlan/kit/caller";
import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { requireId, type TenantId } from "@cloudvlan/kit/ids";
import type { RoleKey } from "@cloudvlan/kit/sign";
import type { RegistryDeps } from "../deps.ts";
import { effectiveOf } from "../domain/settings.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { startFanOut, wakePublishers } from "../store/publications.ts";
import { type LayerRow, lockLayer, type Owner, putLayer, readLayer } from "../store/settings.ts";
import { databaseNow } from "../store/time.ts";
import { effective, platformLayer } from "./effective.ts";
import { publishCvlan } from "./publish-cvlan.ts";

type Target = Owner | { readonly layer: SettingsLayer.PLATFORM };

export async function getSettings(
  deps: RegistryDeps,
  request: GetSettingsRequest,
  caller: Caller,
): Promise<GetSettingsResponse> {
  const target = targetOf(request);
  requireRight(caller, target, Permission.TENANT_READ);
  return inScope(deps, target, async (tx) => {
    await requireTarget(deps, tx, target);
    const own =
      target.layer === SettingsLayer.PLATFORM
        ? create(LayerSettingsSchema, platformLayer(deps))
        : layerOf(target.layer, await readLayer(tx, deps.seals, target));
    return create(GetSettingsResponseSchema, { own, effective: await effectiveAt(deps, tx, target) });
  });
}

/** A repetition changes nothing and tells nobody. */
export async function updateSettings(
  deps: RegistryDeps,
  request: UpdateSettingsRequest,
  caller: Caller,
): Promise<UpdateSettingsResponse> {
  const target = targetOf(request);
  if (target.layer === SettingsLayer.PLATFORM) throw new Error("the contract lets nobody set the platform's layer");
  requireRight(caller, target, Permission.TENANT_WRITE);
  const settings = request.settings ?? create(SettingsSchema);
  checkRoutes(settings);
  const write = async (tx: Tx, key?: RoleKey): Promise<UpdateSettingsResponse> => {
    const cvlan = await requireTarget(deps, tx, target);
    const { row, revision } = await lockLayer(tx, deps.seals, target);
    if (request.baseRevision !== undefined && request.baseRevision !== revision) {
      throw revisionConflict(request.baseRevision, revision);
    }
    const isSame = row !== undefined && equals(SettingsSchema, row.settings, settings);
    const now = await databaseNow(tx);
    const { createdAt, createdBy } = row ?? { createdAt: now, createdBy: subjectOf(caller) };
    const next = isSame ? row : { revision: revision + 1n, settings, createdAt, updatedAt: now, createdBy };
    if (!isSame) {
      await putLayer(tx, deps.seals, target, next);
      if (cvlan && key) await publishCvlan(deps, tx, key, cvlan);
      else await startFanOut(tx, target.layer === SettingsLayer.TENANT ? target.tenantId : "");
      await wakePublishers(tx);
    }
    await deps.audit.record(tx, caller, {
      action: pathOf(SettingsService.method.updateSettings),
      objectId: objectOf(deps, target),
      outcome: "ok",
    });
    return create(UpdateSettingsResponseSchema, {
      own: layerOf(target.layer, next),
      effective: await effectiveAt(deps, tx, target),
    });
  };
  if (target.layer !== SettingsLayer.CVLAN) return inScope(deps, target, write);
  return deps.enrolKeys.signing(target.tenantId as TenantId, write);
}

/** Which layer a request means. @throws Refusal `invalid` when its ids are not those of the layer. */
function targetOf({ layer, tenantId, cvlanId }: GetSettingsRequest | UpdateSettingsRequest): Target {
  const must = (field: string, what: string): Refusal =>
    new Refusal("invalid", "SETTINGS_SCOPE", `${field} ${what} for this layer`, {
      field,
      remedy: "name the tenant for the layers of tenant and cvlan, and the cvlan for its own",
    });
  if (layer !== SettingsLayer.CVLAN && cvlanId !== "") throw must("cvlan_id", "must be empty");
  if (layer === SettingsLayer.PLATFORM || layer === SettingsLayer.CLUSTER) {
    if (tenantId !== "") throw must("tenant_id", "must be empty");
    return { layer };
  }
  if (tenantId === "") throw must("tenant_id", "must be set");
  const tenant = requireId("tenant", tenantId, "tenant_id");
  if (layer === SettingsLayer.TENANT) return { layer, tenantId: tenant };
  if (cvlanId === "") throw must("cvlan_id", "must be set");
  return { layer: SettingsLayer.CVLAN, tenantId: tenant, cvlanId };
}

/** Whoever may change one cvlan may not for that change all of them. A service by itself reads. */
function requireRight({ authority }: Caller, { layer }: Target, right: Permission): void {
  if (layer === SettingsLayer.CVLAN || !authority || authority.permissions.has(right)) return;
  const name = Permission[right];
  throw new Refusal("denied", "PERMISSION_DENIED", `the right ${name} is missing`, {
    remedy: `use an API key that holds ${name}`,
  });
}

function inScope<T>(deps: RegistryDeps, target: Target, work: (tx: Tx) => Promise<T>): Promise<T> {
  return "tenantId" in target ? deps.db.tenant(target.tenantId as TenantId, work) : deps.db.platform(work);
}

async function requireTarget(deps: RegistryDeps, tx: Tx, target: Target) {
  if (target.layer !== SettingsLayer.CVLAN) return undefined;
  return requireCvlan(tx, deps.seals, target.tenantId, target.cvlanId);
}

async function effectiveAt(deps: RegistryDeps, tx: Tx, target: Target): Promise<EffectiveSettings> {
  return target.layer === SettingsLayer.PLATFORM
    ? effectiveOf([platformLayer(deps)])
    : effective(deps, tx, "tenantId" in target ? target : {});
}

function objectOf({ clusterId }: RegistryDeps, target: Owner): string {
  if (target.layer === SettingsLayer.CLUSTER) return clusterId;
  return target.layer === SettingsLayer.TENANT ? target.tenantId : target.cvlanId;
}

/** One suffix must not be asked of two sets of servers. */
function checkRoutes({ dnsRoutes }: Settings): void {
  const seen = new Set<string>();
  for (const [index, { suffix }] of (dnsRoutes?.routes ?? []).entries()) {
    if (seen.has(suffix)) {
      throw new Refusal("invalid", "DNS_ROUTE_TWICE", `there are two routes for ${suffix}`, {
        field: `settings.dns_routes.routes[${index}].suffix`,
        remedy: "name all servers of a suffix in one route",
      });
    }
    seen.add(suffix);
  }
}

function revisionConflict(base: bigint, revision: bigint): Refusal {
  return new Refusal(
    "conflict",
    "SETTINGS_REVISION_CHANGED",
    `the settings were made from revision ${base}, in force is ${revision}`,
    { field: "base_revision", remedy: `read revision ${revision}, make the change there, and set it again` },
  );
}

function layerOf(layer: SettingsLayer, row: LayerRow | undefined): LayerSettings {
  if (!row) return create(LayerSettingsSchema, { layer, settings: create(SettingsSchema) });
  const { settings, revision, createdAt, updatedAt, createdBy } = row;
  const provenance = {
    createdAt: timestampFromDate(createdAt),
    updatedAt: timestampFromDate(updatedAt),
    createdBy,
  };
  return create(LayerSettingsSchema, { layer, settings, revision, provenance });
}
