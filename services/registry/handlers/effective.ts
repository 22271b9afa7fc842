import { type EffectiveSettings, SettingsLayer } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import type { SigningDeps } from "../deps.ts";
import { effectiveOf, type Layer } from "../domain/settings.ts";
import { type Owner, readLayer } from "../store/settings.ts";

/**
 * What is in force for a cvlan, or for whoever sets nothing below a layer.
 * @throws Refusal `conflict` when a layer was changed by somebody who can write the database.
 */
export async function effective(
  deps: SigningDeps,
  tx: Tx,
  of: { readonly tenantId?: string; readonly cvlanId?: string },
): Promise<EffectiveSettings> {
  const owners: Owner[] = [{ layer: SettingsLayer.CLUSTER }];
  const { tenantId, cvlanId } = of;
  if (tenantId !== undefined) owners.push({ layer: SettingsLayer.TENANT, tenantId });
  if (tenantId !== undefined && cvlanId !== undefined) owners.push({ layer: SettingsLayer.CVLAN, tenantId, cvlanId });
  const stored: Layer[] = [];
  for (const owner of owners) {
    const row = await readLayer(tx, deps.seals, owner);
    if (row) stored.push({ layer: owner.layer, settings: row.settings });
  }
  return effectiveOf([platformLayer(deps), ...stored]);
}

/** The defaults of this process. */
export function platformLayer({ defaults }: Pick<SigningDeps, "defaults">): Layer {
  return { layer: SettingsLayer.PLATFORM, settings: defaults };
}
