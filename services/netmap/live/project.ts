import { toBinary } from "@bufbuild/protobuf";
import type { Change } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { EffectiveSettingsSchema } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import type { RuleEntry } from "../domain/entry.ts";
import { RecordRefused, type TrustedKeyset } from "../domain/keyset.ts";
import { type NodeNews, planNodes, planPolicy, planShared, type PolicyNews } from "../domain/plan.ts";
import {
  isComplete,
  MANIFEST,
  openEntry,
  openManifest,
  openShared,
  type SharedEntry,
  type SharedId,
} from "../domain/record.ts";
import { headSettingsOf } from "../domain/head-settings.ts";
import type { Scope } from "../domain/scope.ts";
import {
  readMap,
  readPolicyRecords,
  readRecords,
  rewindNodes,
  settingsOf,
  type StoredMap,
  writePlan,
  writeSettings,
} from "../store.ts";
import { keepRelayMapCursor, registryCursor, writeShared } from "../shared-store.ts";
import type { NetmapContext } from "./context.ts";
import { isCursorAhead } from "./retry.ts";

/** Told how many changes a batch had, after they were taken. */
export type Heard = (changes: number) => void | Promise<void>;

/** Follows registry from the cursor in the tables until the stream or the signal ends. */
export async function projectNodes(
  context: NetmapContext,
  scope: Scope,
  heard: Heard,
  signal: AbortSignal,
): Promise<void> {
  const since = await context.db.tenant(scope.tenantId, (tx) => cursorOf(context, tx, scope));
  try {
    for await (const { changes, revision } of context.registry.watchChanges({ ...scope, since }, { signal })) {
      if (changes.length > 0) await takeNodes(context, scope, changes, revision);
      await heard(changes.length);
    }
  } catch (error) {
    // What is known already is no change when it is read again.
    if (isCursorAhead(error)) {
      await context.db.tenant(scope.tenantId, async (tx) => rewindNodes(tx, context.keys, await readMap(tx, scope)));
    }
    throw error;
  }
}

/** A worker of a former version moves the cursor past what it does not know without taking it: then that is read again. */
async function cursorOf(context: NetmapContext, tx: Tx, scope: Scope): Promise<bigint> {
  const map = await readMap(tx, scope);
  if (map.dnsRevision > 0n && settingsOf(context.keys, map)) return registryCursor(map);
  await rewindNodes(tx, context.keys, map);
  return 0n;
}

async function takeNodes(context: NetmapContext, scope: Scope, changes: readonly Change[], to: bigint): Promise<void> {
  const news: (NodeNews & { readonly revision: bigint })[] = [];
  const shared = new Map<SharedId, SharedEntry>();
  const share = async (id: SharedId, bytes: Uint8Array): Promise<void> => {
    const entry = await accept(context, scope, id, (keyset, now) => openShared(keyset, scope, id, bytes, now));
    if (entry) shared.set(id, entry);
  };
  let settings: { readonly revision: bigint; readonly bytes: Uint8Array } | undefined;
  for (const { objectId, revision, change } of changes) {
    if (change.case === "removal") news.push({ objectId, revision, entry: undefined });
    if (change.case === "dns") await share("dns", change.value);
    if (change.case === "relayMap") await share("relay_map", change.value);
    if (change.case === "settings") {
      settings = { revision, bytes: toBinary(EffectiveSettingsSchema, change.value) };
    }
    if (change.case !== "node") continue;
    const entry = await accept(context, scope, objectId, (keyset, now) =>
      openEntry(keyset, scope, "node", objectId, change.value, now),
    );
    if (entry?.kind === "node") news.push({ objectId, revision, entry });
  }
  await context.db.tenant(scope.tenantId, async (tx) => {
    const map = await readMap(tx, scope, "update");
    for (const entry of shared.values()) await takeShared(context, tx, scope, entry);
    if (settings && (settings.revision > map.settingsRevision || !settingsOf(context.keys, map))) {
      await takeSettings(context, tx, map, settings);
    }
    // Another worker may have been faster, with a batch that ended elsewhere.
    if (map.registryCursor >= to) return keepRelayMapCursor(tx, map, to);
    const fresh = news.filter(({ revision }) => revision > map.registryCursor);
    const plan = planNodes(
      await readRecords(
        tx,
        scope,
        fresh.map(({ objectId }) => objectId),
      ),
      fresh,
    );
    reportStale(context, scope, plan.stale);
    const cursors = { registryCursor: to, relayMapCursor: to };
    await writePlan(tx, context.keys, map, cursors, plan, context.config.log_revisions);
  });
}

/** A change that brings what is in force already is written too: its revision counts. */
async function takeSettings(
  context: NetmapContext,
  tx: Tx,
  map: StoredMap,
  { revision, bytes }: { readonly revision: bigint; readonly bytes: Uint8Array },
): Promise<void> {
  if (headSettingsOf(bytes)) return writeSettings(tx, context.keys, map, revision, bytes);
  const { tenantId, cvlanId } = map;
  context.log.error({ tenantId, cvlanId }, "registry tells settings that no head can carry; the former ones stay");
}

async function takeShared(context: NetmapContext, tx: Tx, scope: Scope, entry: SharedEntry): Promise<void> {
  const known = await readRecords(tx, scope, [entry.id]);
  const row = planShared(known.get(entry.id), entry);
  if (row === "stale") reportStale(context, scope, [entry.id]);
  else if (row) await writeShared(tx, scope, entry, row);
}

/**
 * Follows policy until the stream or the signal ends. Read from the start each time: a version counts as a whole, and
 * what somebody took out of our tables comes back.
 */
export async function projectPolicy(
  context: NetmapContext,
  scope: Scope,
  heard: Heard,
  signal: AbortSignal,
): Promise<void> {
  const rules = new Map<string, RuleEntry>();
  let manifest: Uint8Array | undefined;
  for await (const { changes, revision } of context.policy.watchChanges({ ...scope, since: 0n }, { signal })) {
    for (const { objectId, change } of changes) {
      if (change.case === "removal") rules.delete(objectId);
      if (change.case === "manifest") manifest = change.value;
      if (change.case !== "rule") continue;
      const entry = await accept(context, scope, objectId, (keyset, now) =>
        openEntry(keyset, scope, "rule", objectId, change.value, now),
      );
      if (entry?.kind === "rule") rules.set(objectId, entry);
    }
    if (changes.length > 0 && manifest) await takePolicy(context, scope, manifest, [...rules.values()], revision);
    await heard(changes.length);
  }
}

/** Rules act only together, as the manifest has them: what is not whole waits for the rest. */
async function takePolicy(
  context: NetmapContext,
  scope: Scope,
  bytes: Uint8Array,
  rules: readonly RuleEntry[],
  to: bigint,
): Promise<void> {
  const manifest = await accept(context, scope, MANIFEST, (keyset, now) => openManifest(keyset, scope, bytes, now));
  if (!manifest) return;
  if (!isComplete(manifest, rules)) {
    context.log.debug(
      { ...scope, version: String(manifest.policyVersion) },
      "a policy version is not whole yet; the former one stays",
    );
    return;
  }
  const news: PolicyNews = { version: manifest.policyVersion, manifest: bytes, rules };
  await context.db.tenant(scope.tenantId, async (tx) => {
    const map = await readMap(tx, scope, "update");
    if (map.policyCursor > to) return;
    const plan = planPolicy(await readPolicyRecords(tx, scope), news);
    reportStale(context, scope, plan.stale);
    if (map.policyCursor === to && plan.records.length === 0) return;
    await writePlan(tx, context.keys, map, { policyCursor: to }, plan, context.config.log_revisions);
  });
}

/** What `open` makes of signed bytes; undefined, and reported, when they are refused. An unknown key is looked up once. */
async function accept<T>(
  context: NetmapContext,
  scope: Scope,
  objectId: string,
  open: (keyset: TrustedKeyset, nowMs: number) => T,
): Promise<T | undefined> {
  try {
    const keyset = await context.keysets.get(scope.tenantId);
    try {
      return open(keyset, context.clock.nowMs());
    } catch (error) {
      if (!(error instanceof RecordRefused) || error.reason !== "UNKNOWN_KEY") throw error;
      return open(await context.keysets.refresh(scope.tenantId), context.clock.nowMs());
    }
  } catch (error) {
    if (!(error instanceof RecordRefused)) throw error;
    context.log.error({ ...scope, objectId, reason: error.reason }, "a record does not verify; it is refused");
    return undefined;
  }
}

function reportStale(context: NetmapContext, scope: Scope, objectIds: readonly string[]): void {
  for (const objectId of objectIds) {
    context.log.error({ ...scope, objectId }, "a record is older than the one in force; it is refused");
  }
}
