import { create } from "@bufbuild/protobuf";
import {
  type EffectiveSettings,
  EffectiveSettingsSchema,
  type Settings,
  type SettingsLayer,
  SettingsSchema,
} from "@cloudvlan/gen/entity/v1/settings_pb.js";

/** Layers that are stored, the most general first. */
export type StoredLayer = SettingsLayer.CLUSTER | SettingsLayer.TENANT | SettingsLayer.CVLAN;

/** A layer and what it sets. */
export interface Layer {
  readonly layer: SettingsLayer;
  readonly settings: Settings;
}

/**
 * What is in force under these layers: the last that sets a field decides; of a limit, the smallest value.
 * @param layers the most general first; the first sets every field.
 */
export function effectiveOf(layers: readonly [Layer, ...Layer[]]): EffectiveSettings {
  const settings = create(SettingsSchema);
  const decidedBy: Record<string, SettingsLayer> = {};
  for (const { layer, settings: own } of layers) {
    if (own.stalePolicy !== undefined) {
      settings.stalePolicy = own.stalePolicy;
      decidedBy["stale_policy"] = layer;
    }
    if (own.mapTtlSeconds !== undefined) {
      settings.mapTtlSeconds = own.mapTtlSeconds;
      decidedBy["map_ttl_seconds"] = layer;
    }
    if (own.dnsRoutes !== undefined) {
      settings.dnsRoutes = own.dnsRoutes;
      decidedBy["dns_routes"] = layer;
    }
    const limit = own.joinTokenMaxTtlSeconds;
    if (limit !== undefined && limit < (settings.joinTokenMaxTtlSeconds ?? Number.POSITIVE_INFINITY)) {
      settings.joinTokenMaxTtlSeconds = limit;
      decidedBy["join_token_max_ttl_seconds"] = layer;
    }
  }
  return create(EffectiveSettingsSchema, { settings, decidedBy });
}
