import type { Tx } from "@cloudvlan/kit/db";
import { isSignedByOther } from "@cloudvlan/kit/delegation";
import { type KeyProvider, requireSeal, sealOf } from "@cloudvlan/kit/keys";
import type { Standing } from "@cloudvlan/kit/server";
import { and, asc, count, desc, eq, gt, inArray, lte, sql } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import { type HeadSettings, headSettingsOf } from "./domain/head-settings.ts";
import type { Plan, StoredRecord } from "./domain/plan.ts";
import { KIND } from "./domain/record.ts";
import type { Scope } from "./domain/scope.ts";
import { endpoints, logs, maps, presences, records } from "./schema.ts";

/** Channel on which workers tell each other of new revisions; the payload is `<tenant id> <cvlan id>`. */
export const REVISIONS = "netmap_revisions";

export type StoredMap = typeof maps.$inferSelect;

/** One revision of the map, as it is in the log. */
export interface LoggedRevision {
  readonly revision: bigint;
  readonly changes: readonly {
    readonly objectId: string;
    readonly kind: number;
    readonly before: Uint8Array;
    readonly after: Uint8Array;
  }[];
}

/** Ids of a scope, as rows have them. */
export interface InScope {
  readonly tenantId: string;
  readonly cvlanId: string;
}

/** Rows of a scope. */
export function inScope(table: { tenantId: PgColumn; cvlanId: PgColumn }, { tenantId, cvlanId }: InScope) {
  return and(eq(table.tenantId, tenantId), eq(table.cvlanId, cvlanId));
}

/** The map's row, made when there was none. With `lock`, nobody else moves the map until the transaction ends. */
export async function readMap(tx: Tx, scope: Scope, lock?: "update" | "share"): Promise<StoredMap> {
  const query = () => {
    const select = tx.select().from(maps).where(inScope(maps, scope));
    return lock ? select.for(lock) : select;
  };
  const [known] = await query();
  if (known) return known;
  await tx
    .insert(maps)
    .values({ ...scope })
    .onConflictDoNothing();
  const [made] = await query();
  if (!made) throw new Error("the map was not stored");
  return made;
}

/** Rows of these objects. */
export async function readRecords(
  tx: Tx,
  scope: Scope,
  objectIds: readonly string[],
): Promise<Map<string, StoredRecord>> {
  if (objectIds.length === 0) return new Map();
  const rows = await tx
    .select()
    .from(records)
    .where(and(inScope(records, scope), inArray(records.objectId, [...objectIds])));
  return new Map(rows.map((row) => [row.objectId, row]));
}

/** Rows of every rule and the manifest. */
export async function readPolicyRecords(tx: Tx, scope: Scope): Promise<Map<string, StoredRecord>> {
  const rows = await tx
    .select()
    .from(records)
    .where(and(inScope(records, scope), inArray(records.kind, [KIND.rule, KIND.manifest])));
  return new Map(rows.map((row) => [row.objectId, row]));
}

/** Rows of everything. */
export async function readAllRecords(tx: Tx, scope: Scope): Promise<StoredRecord[]> {
  return tx.select().from(records).where(inScope(records, scope));
}

/** Maps of a tenant with records of these kinds that another key signed, and how many. */
export async function recordsSignedByOthers(
  tx: Tx,
  tenantId: string,
  kinds: readonly number[],
  keyId: string,
): Promise<{ readonly cvlanId: string; readonly records: number }[]> {
  const ofKinds = and(inArray(records.kind, [...kinds]), eq(records.removed, false));
  return tx
    .select({ cvlanId: records.cvlanId, records: count() })
    .from(records)
    .where(and(eq(records.tenantId, tenantId), ofKinds, isSignedByOther(records.signed, keyId)))
    .groupBy(records.cvlanId);
}

/** How far a source was followed. */
export type Cursors =
  | { readonly registryCursor: bigint; readonly relayMapCursor: bigint }
  | { readonly policyCursor: bigint };

/** Has registry read from the start, unless another worker moves the cursor meanwhile. What is in force stays until then. */
export async function rewindNodes(tx: Tx, keys: KeyProvider, map: StoredMap): Promise<void> {
  const settings = settingsOf(keys, map) ? sealedSettings(keys, map, 0n, map.settings) : {};
  await tx
    .update(maps)
    .set({ registryCursor: 0n, relayMapCursor: 0n, ...settings })
    .where(and(inScope(maps, map), eq(maps.registryCursor, map.registryCursor)));
}

/** What is in force for a map; undefined before registry said so, and when the row is not this service's. */
export function settingsOf(keys: KeyProvider, map: StoredMap): HeadSettings | undefined {
  const { tenantId, cvlanId, settings, settingsRevision, settingsSeal } = map;
  const fields = { tenantId, cvlanId, settings, settingsRevision };
  return requireSeal(keys, SETTINGS, fields, settingsSeal) ? headSettingsOf(settings) : undefined;
}

/**
 * Keeps what registry says is in force.
 * @param map locked row.
 * @param revision of registry's stream.
 */
export async function writeSettings(
  tx: Tx,
  keys: KeyProvider,
  map: StoredMap,
  revision: bigint,
  settings: Uint8Array,
): Promise<void> {
  await tx
    .update(maps)
    .set(sealedSettings(keys, map, revision, settings))
    .where(inScope(maps, map));
  await wakeWorkers(tx, map);
}

/** Name under which what is in force is sealed. */
export const SETTINGS = "netmap.map_settings";

function sealedSettings(
  keys: KeyProvider,
  { tenantId, cvlanId }: InScope,
  settingsRevision: bigint,
  settings: Uint8Array,
) {
  const settingsSeal = sealOf(keys, SETTINGS, { tenantId, cvlanId, settings, settingsRevision });
  return { settings, settingsRevision, settingsSeal };
}

/**
 * Writes what a source said: records, log and cursors, and a new revision when the map changed.
 * @param map locked row.
 * @param keep revisions that the log keeps.
 */
export async function writePlan(
  tx: Tx,
  keys: KeyProvider,
  map: StoredMap,
  cursors: Cursors,
  plan: Plan,
  keep: number,
): Promise<void> {
  const { tenantId, cvlanId } = map;
  const scope = { tenantId, cvlanId };
  const revision = plan.changes.length > 0 ? map.revision + 1n : map.revision;
  await tx
    .update(maps)
    .set({ ...cursors, revision })
    .where(and(eq(maps.tenantId, tenantId), eq(maps.cvlanId, cvlanId)));
  for (const part of parts(plan.records)) await putRecords(tx, scope, part);
  if (plan.changes.length === 0) return;
  const entries = plan.changes.length;
  const rows = plan.changes.map((change, ordinal) => ({ ...scope, revision, ordinal, entries, ...change }));
  for (const part of parts(rows)) {
    await tx
      .insert(logs)
      .values(part.map((row) => ({ ...row, seal: sealOf(keys, "netmap.log", sealFields(map.epoch, row)) })));
  }
  const gone = plan.changes
    .filter(({ kind, after }) => kind === KIND.node && after.length === 0)
    .map(({ objectId }) => objectId);
  if (gone.length > 0) {
    await tx
      .delete(endpoints)
      .where(and(eq(endpoints.tenantId, tenantId), eq(endpoints.cvlanId, cvlanId), inArray(endpoints.nodeId, gone)));
    await tx.delete(presences).where(and(inScope(presences, scope), inArray(presences.nodeId, gone)));
  }
  if (revision % TRIM_EVERY === 0n || sizeOf(plan.changes) > TRIM_ABOVE_BYTES) {
    const from = await logStart(tx, { ...map, revision }, keep);
    await tx.delete(logs).where(and(inScope(logs, scope), lte(logs.revision, from)));
  }
  await wakeWorkers(tx, scope);
}

/**
 * Keeps how the tenant stands. When that changes, what every node holds is another map: it has a revision of its own, across
 * which no log leads, so that each of them gets it whole.
 * @param map locked row.
 */
export async function writeStanding(tx: Tx, map: StoredMap, { suspended, revision }: Standing): Promise<void> {
  if (revision <= map.standingRevision) return;
  const isOther = suspended !== map.suspended;
  await tx
    .update(maps)
    .set({ suspended, standingRevision: revision, revision: isOther ? map.revision + 1n : map.revision })
    .where(inScope(maps, map));
  if (!isOther) return;
  await tx.delete(logs).where(inScope(logs, map));
  await wakeWorkers(tx, map);
}

/** Stores rows in place of the former ones of the same objects. */
export async function putRecords(tx: Tx, scope: InScope, rows: readonly StoredRecord[]): Promise<void> {
  await tx
    .insert(records)
    .values(rows.map((record) => ({ ...scope, ...record })))
    .onConflictDoUpdate({
      target: [records.tenantId, records.cvlanId, records.objectId],
      set: {
        kind: sql`excluded.kind`,
        signed: sql`excluded.signed`,
        version: sql`excluded.version`,
        removed: sql`excluded.removed`,
      },
    });
}

/** Has every worker look at what was written to a map. */
export async function wakeWorkers(tx: Tx, { tenantId, cvlanId }: InScope): Promise<void> {
  await tx.execute(sql`select pg_notify(${REVISIONS}, ${`${tenantId} ${cvlanId}`})`);
}

/** Rows of one INSERT: a statement has 65,535 parameters at most. */
const INSERT_ROWS = 1000;

function* parts<T>(rows: readonly T[]): Iterable<T[]> {
  for (let at = 0; at < rows.length; at += INSERT_ROWS) yield rows.slice(at, at + INSERT_ROWS);
}

/** The log is trimmed each so many revisions, and after a large one. */
const TRIM_EVERY = 64n;
const TRIM_ABOVE_BYTES = 1_048_576;

/** Bytes of records that the log of a cvlan holds, and a worker keeps in memory of it: whole policies are large. */
export const MAX_LOG_BYTES = 33_554_432;

/** Bytes of the records in a revision. */
export function sizeOf(changes: LoggedRevision["changes"]): number {
  return changes.reduce((sum, { before, after }) => sum + before.length + after.length, 0);
}

/** The revision after which the log is kept: `keep` revisions back, or fewer when they are large. */
export async function logStart(tx: Tx, map: StoredMap, keep: number): Promise<bigint> {
  const bytes = sql<string>`sum(octet_length(${logs.before}) + octet_length(${logs.after}))`;
  const sizes = await tx
    .select({ revision: logs.revision, bytes })
    .from(logs)
    .where(and(inScope(logs, map), lte(logs.revision, map.revision), gt(logs.revision, map.revision - BigInt(keep))))
    .groupBy(logs.revision)
    .orderBy(desc(logs.revision));
  let total = 0;
  for (const size of sizes) {
    total += Number(size.bytes);
    if (total > MAX_LOG_BYTES) return size.revision;
  }
  return map.revision > BigInt(keep) ? map.revision - BigInt(keep) : 0n;
}

type LogRow = typeof logs.$inferSelect;

export function sealFields(epoch: bigint, row: Omit<LogRow, "seal">) {
  const { tenantId, cvlanId, revision, ordinal, entries, objectId, kind, before, after } = row;
  return { tenantId, cvlanId, epoch, revision, ordinal, entries, objectId, kind, before, after };
}

/**
 * The revisions after `after`, up to `upTo`, at most `limit` of them, oldest first.
 * @returns only those that are whole and that this service wrote; where a row is missing, added or changed, there is a gap.
 */
export async function readLog(
  tx: Tx,
  keys: KeyProvider,
  map: StoredMap,
  after: bigint,
  limit: number,
): Promise<LoggedRevision[]> {
  const upTo = after + BigInt(limit) < map.revision ? after + BigInt(limit) : map.revision;
  const rows = await tx
    .select()
    .from(logs)
    .where(
      and(
        eq(logs.tenantId, map.tenantId),
        eq(logs.cvlanId, map.cvlanId),
        gt(logs.revision, after),
        lte(logs.revision, upTo),
      ),
    )
    .orderBy(asc(logs.revision), asc(logs.ordinal));
  const byRevision = Map.groupBy(rows, ({ revision }) => revision);
  const found: LoggedRevision[] = [];
  for (const [revision, changes] of byRevision) {
    const isWhole = changes.every(
      (row, ordinal) =>
        row.ordinal === ordinal &&
        row.entries === changes.length &&
        requireSeal(keys, "netmap.log", sealFields(map.epoch, row), row.seal),
    );
    if (isWhole) found.push({ revision, changes });
  }
  return found;
}
