import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Settings, SettingsLayer, SettingsSchema } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { and, eq, isNull } from "drizzle-orm";
import type { StoredLayer } from "../domain/settings.ts";
import { clusterSettings, tenantSettings } from "../schema.ts";
import type { Seals } from "../seals.ts";

/** Whose layer it is; the cluster's belongs to no tenant. */
export type Owner =
  | { readonly layer: SettingsLayer.CLUSTER }
  | { readonly layer: SettingsLayer.TENANT; readonly tenantId: string }
  | { readonly layer: SettingsLayer.CVLAN; readonly tenantId: string; readonly cvlanId: string };

/** One layer as it is stored. */
export interface LayerRow {
  readonly revision: bigint;
  readonly settings: Settings;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly createdBy: string;
}

type Stored = Omit<typeof clusterSettings.$inferSelect, "slot">;

const CLUSTER_SLOT = 1;

function ofTenant(tenantId: string, cvlanId: string | undefined) {
  const ofCvlan = cvlanId === undefined ? isNull(tenantSettings.cvlanId) : eq(tenantSettings.cvlanId, cvlanId);
  return and(eq(tenantSettings.tenantId, tenantId), ofCvlan);
}

async function read(tx: Tx, owner: Owner, lock: boolean): Promise<{ table: string; row: Stored } | undefined> {
  if (owner.layer === SettingsLayer.CLUSTER) {
    const select = tx.select().from(clusterSettings);
    const [row] = await (lock ? select.for("update") : select);
    return row && { table: "cluster_settings", row };
  }
  const cvlanId = owner.layer === SettingsLayer.CVLAN ? owner.cvlanId : undefined;
  const select = tx.select().from(tenantSettings).where(ofTenant(owner.tenantId, cvlanId));
  const [row] = await (lock ? select.for("update") : select);
  return row && { table: "tenant_settings", row };
}

function opened(seals: Seals, { table, row }: { table: string; row: Stored }): LayerRow | undefined {
  const { revision, body, createdAt, updatedAt, createdBy } = seals.open(table, row) ?? {};
  if (revision === undefined || !body || !createdAt || !updatedAt || createdBy === undefined) return undefined;
  return { revision, settings: fromBinary(SettingsSchema, body), createdAt, updatedAt, createdBy };
}

/**
 * A layer; undefined when nobody ever set it.
 * @throws Refusal `conflict` when its row is not this service's: without it more might be allowed than somebody wanted.
 */
export async function readLayer(tx: Tx, seals: Seals, owner: Owner): Promise<LayerRow | undefined> {
  const stored = await read(tx, owner, false);
  if (!stored) return undefined;
  const row = opened(seals, stored);
  if (row) return row;
  throw new Refusal(
    "conflict",
    "SETTINGS_BROKEN",
    `the settings of the ${NAMES[owner.layer]} were changed in the database`,
    {
      remedy: "set them again",
      auditReason: "SEAL_BROKEN",
    },
  );
}

const NAMES: Readonly<Record<StoredLayer, string>> = {
  [SettingsLayer.CLUSTER]: "cluster",
  [SettingsLayer.TENANT]: "tenant",
  [SettingsLayer.CVLAN]: "cvlan",
};

/** A layer to be replaced, locked, and the revision that the next one follows, also when its row is not this service's. */
export async function lockLayer(
  tx: Tx,
  seals: Seals,
  owner: Owner,
): Promise<{ row: LayerRow | undefined; revision: bigint }> {
  const stored = await read(tx, owner, true);
  return { row: stored && opened(seals, stored), revision: stored?.row.revision ?? 0n };
}

/** Stores a layer in place of the former one. */
export async function putLayer(tx: Tx, seals: Seals, owner: Owner, layer: LayerRow): Promise<void> {
  const { settings, ...rest } = layer;
  const own = { ...rest, body: toBinary(SettingsSchema, create(SettingsSchema, settings)) };
  const { revision, body, updatedAt, createdAt, createdBy } = own;
  if (owner.layer === SettingsLayer.CLUSTER) {
    const row = seals.seal("cluster_settings", { slot: CLUSTER_SLOT, ...own });
    const set = { revision, body, createdAt, updatedAt, createdBy, seal: row.seal };
    await tx
      .insert(clusterSettings)
      .values(row)
      .onConflictDoUpdate({ target: [clusterSettings.slot], set });
    return;
  }
  const cvlanId = owner.layer === SettingsLayer.CVLAN ? owner.cvlanId : null;
  const row = seals.seal("tenant_settings", { tenantId: owner.tenantId, cvlanId, ...own });
  const set = { revision, body, createdAt, updatedAt, createdBy, seal: row.seal };
  const target = [tenantSettings.tenantId, tenantSettings.cvlanId];
  await tx.insert(tenantSettings).values(row).onConflictDoUpdate({ target, set });
}
