import { setImmediate } from "node:timers/promises";
import {
  isComplete,
  isShared,
  KIND,
  MANIFEST,
  openEntry,
  openManifest,
  openShared,
  type SharedEntry,
} from "../domain/record.ts";
import type { Entry, RuleEntry } from "../domain/entry.ts";
import { RecordRefused, type TrustedKeyset } from "../domain/keyset.ts";
import type { StoredRecord } from "../domain/plan.ts";
import type { Scope } from "../domain/scope.ts";
import { type LoggedRevision, logStart, readAllRecords, readLog, readMap, type StoredMap } from "../store.ts";
import type { NetmapContext } from "./context.ts";

/** A map as the tables have it, whatever does not verify left out. */
export interface LoadedMap {
  /** What it was verified by. */
  readonly keyset: TrustedKeyset;
  readonly epoch: bigint;
  readonly revision: bigint;
  readonly entries: readonly Entry[];
  /** False when the rules are left out, because they are not those of a signed manifest. */
  readonly hasRules: boolean;
  /** Nodes that were members and are no more. */
  readonly removedNodes: readonly string[];
  readonly log: readonly LoggedRevision[];
  /** The map's row. */
  readonly map: StoredMap;
  readonly shared: readonly SharedEntry[];
}

/** Signatures verified before other work gets its turn: about 20 ms. */
const VERIFY_BATCH = 200;

/** Reads a map at one revision and verifies every record again: whoever can write the tables can add nothing to it. */
export async function loadMap(context: NetmapContext, scope: Scope): Promise<LoadedMap> {
  const { keyset, map, rows, log } = await readUnderOneKeyset(context, scope);
  const entries: Entry[] = [];
  const rules: RuleEntry[] = [];
  for (const [position, row] of rows.entries()) {
    if (position % VERIFY_BATCH === VERIFY_BATCH - 1) await setImmediate();
    const entry = verified(context, scope, keyset, row);
    if (entry?.kind === "node") entries.push(entry);
    if (entry?.kind === "rule") rules.push(entry);
  }
  const hasRules = hasAllRules(context, scope, keyset, rows, rules);
  if (hasRules) entries.push(...rules);
  const removedNodes = rows
    .filter(({ kind, removed }) => removed && kind === KIND.node)
    .map(({ objectId }) => objectId);
  const { epoch, revision } = map;
  const shared = verifiedShared(context, scope, keyset, rows);
  return { keyset, epoch, revision, entries, hasRules, removedNodes, log, map, shared };
}

/** Times that the tables are read again because the keyset changed meanwhile. */
const READS = 4;

/** The tables, and a keyset that was in force before and after they were read: what is in them was signed by its keys. */
async function readUnderOneKeyset(context: NetmapContext, scope: Scope) {
  let before = await context.keysets.refresh(scope.tenantId);
  for (let reads = 1; ; reads++) {
    const tables = await context.db.tenant(scope.tenantId, async (tx) => {
      const map = await readMap(tx, scope, "share");
      const from = await logStart(tx, map, context.config.log_revisions);
      const rows = await readAllRecords(tx, scope);
      return { map, rows, log: await readLog(tx, context.keys, map, from, Number(map.revision - from)) };
    });
    const keyset = await context.keysets.refresh(scope.tenantId);
    if (keyset.version === before.version || reads === READS) return { keyset, ...tables };
    before = keyset;
  }
}

/** The shared records among stored ones; what does not verify is reported and left out. */
export function verifiedShared(
  context: NetmapContext,
  scope: Scope,
  keyset: TrustedKeyset,
  rows: Iterable<StoredRecord>,
): SharedEntry[] {
  const found: SharedEntry[] = [];
  for (const { objectId, signed } of rows) {
    if (!isShared(objectId)) continue;
    const open = () => openShared(keyset, scope, objectId, signed, context.clock.nowMs());
    const entry = orReported(context, scope, objectId, open);
    if (entry) found.push(entry);
  }
  return found;
}

function verified(context: NetmapContext, scope: Scope, keyset: TrustedKeyset, row: StoredRecord): Entry | undefined {
  if (row.removed || (row.kind !== KIND.node && row.kind !== KIND.rule)) return undefined;
  const kind = row.kind === KIND.node ? "node" : "rule";
  return orReported(context, scope, row.objectId, () =>
    openEntry(keyset, scope, kind, row.objectId, row.signed, context.clock.nowMs()),
  );
}

function orReported<T>(context: NetmapContext, scope: Scope, objectId: string, open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof RecordRefused)) throw error;
    context.log.error({ ...scope, objectId, reason: error.reason }, "a stored record does not verify; it is left out");
    return undefined;
  }
}

/** Rules are served whole or not at all: without one that denies, the others would allow too much. */
function hasAllRules(
  context: NetmapContext,
  scope: Scope,
  keyset: TrustedKeyset,
  rows: readonly StoredRecord[],
  rules: readonly RuleEntry[],
): boolean {
  const manifest = rows.find(({ objectId }) => objectId === MANIFEST);
  if (!manifest && rules.length === 0) return true;
  try {
    if (manifest && isComplete(openManifest(keyset, scope, manifest.signed, context.clock.nowMs()), rules)) return true;
  } catch (error) {
    if (!(error instanceof RecordRefused)) throw error;
  }
  context.log.error(
    { ...scope },
    "the stored rules are not those of a signed manifest; none is served until policy sends them again",
  );
  return false;
}
