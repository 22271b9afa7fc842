import type { Tx } from "@cloudvlan/kit/db";
import type { StoredRecord } from "./domain/plan.ts";
import type { SharedEntry, SharedId } from "./domain/record.ts";
import type { Scope } from "./domain/scope.ts";
import { maps } from "./schema.ts";
import { inScope, putRecords, type StoredMap, wakeWorkers } from "./store.ts";

/** Revisions of the shared records, 0 for one that there is none of. */
export function sharedRevisions({ dnsRevision, relayMapRevision }: StoredMap): Map<SharedId, bigint> {
  return new Map<SharedId, bigint>([
    ["dns", dnsRevision],
    ["relay_map", relayMapRevision],
  ]);
}

/** Writes a shared record of a map, whose row is locked. */
export async function writeShared(
  tx: Tx,
  scope: Scope,
  { id, revision }: SharedEntry,
  row: StoredRecord,
): Promise<void> {
  await putRecords(tx, scope, [row]);
  const set = id === "dns" ? { dnsRevision: revision } : { relayMapRevision: revision };
  await tx.update(maps).set(set).where(inScope(maps, scope));
  await wakeWorkers(tx, scope);
}

/** How far registry was followed by workers that take all it tells. */
export function registryCursor(map: StoredMap): bigint {
  return map.relayMapCursor < map.registryCursor ? map.relayMapCursor : map.registryCursor;
}

/** Writes down that relay maps were taken up to `to`, where a worker of the former version was faster with everything else. */
export async function keepRelayMapCursor(tx: Tx, map: StoredMap, to: bigint): Promise<void> {
  if (map.relayMapCursor < to) await tx.update(maps).set({ relayMapCursor: to }).where(inScope(maps, map));
}
