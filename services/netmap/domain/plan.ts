import { fromBinary } from "@bufbuild/protobuf";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { NodeEntry, RuleEntry } from "./entry.ts";
import { KIND, MANIFEST, type SharedEntry } from "./record.ts";

/** A row of the record table. */
export interface StoredRecord {
  readonly objectId: string;
  readonly kind: number;
  readonly signed: Uint8Array;
  readonly version: bigint;
  readonly removed: boolean;
}

/** What a source says of a node: its record, or that it is gone. */
export type NodeNews = { readonly objectId: string; readonly entry: NodeEntry | undefined };

/** A policy version, whole. */
export interface PolicyNews {
  readonly version: bigint;
  readonly manifest: Uint8Array;
  readonly rules: readonly RuleEntry[];
}

/** What is to be written, and what of it changes the map. */
export interface Plan {
  readonly records: StoredRecord[];
  readonly changes: {
    readonly objectId: string;
    readonly kind: number;
    readonly before: Uint8Array;
    readonly after: Uint8Array;
  }[];
  /** Objects whose record is older than the one in force: somebody put an old row back. */
  readonly stale: string[];
}

const NOTHING = new Uint8Array();

/** A node that is gone never comes back: ids are not used again. */
export function planNodes(current: ReadonlyMap<string, StoredRecord>, news: readonly NodeNews[]): Plan {
  const plan: Plan = { records: [], changes: [], stale: [] };
  for (const { objectId, entry } of news) {
    const known = current.get(objectId);
    if (!entry) {
      if (!known?.removed) remove(plan, objectId, KIND.node, known);
    } else if (known && (known.removed || isOlder(entry.record.recordRevision, entry.bytes, known))) {
      plan.stale.push(objectId);
    } else {
      put(plan, objectId, KIND.node, known, entry.bytes, entry.record.recordRevision);
    }
  }
  return plan;
}

/** The row to be written for a shared record; undefined when it is in force already, `stale` when it is older. */
export function planShared(known: StoredRecord | undefined, entry: SharedEntry): StoredRecord | "stale" | undefined {
  const { id: objectId, kind, revision: version, bytes: signed } = entry;
  if (known && isOlder(version, signed, known)) return "stale";
  if (known && same(known.signed, signed)) return undefined;
  return { objectId, kind, signed, version, removed: false };
}

/** A node takes one payload for each revision of a record, and no smaller revision than it has seen. */
function isOlder(revision: bigint, bytes: Uint8Array, known: StoredRecord): boolean {
  if (revision !== known.version) return revision < known.version;
  return !same(fromBinary(SignedSchema, bytes).payload, fromBinary(SignedSchema, known.signed).payload);
}

/** @param current every rule and manifest of the cvlan. */
export function planPolicy(current: ReadonlyMap<string, StoredRecord>, news: PolicyNews): Plan {
  const plan: Plan = { records: [], changes: [], stale: [] };
  const manifest = current.get(MANIFEST);
  if (manifest && news.version < manifest.version) {
    plan.stale.push(MANIFEST);
    return plan;
  }
  const wanted = new Set(news.rules.map(({ id }) => id));
  for (const known of current.values()) {
    if (known.kind === KIND.rule && !known.removed && !wanted.has(known.objectId))
      remove(plan, known.objectId, KIND.rule, known);
  }
  for (const rule of news.rules)
    put(plan, rule.id, KIND.rule, current.get(rule.id), rule.bytes, rule.record.policyVersion);
  if (!manifest || !same(manifest.signed, news.manifest)) {
    plan.records.push({
      objectId: MANIFEST,
      kind: KIND.manifest,
      signed: news.manifest,
      version: news.version,
      removed: false,
    });
  }
  return plan;
}

function put(
  plan: Plan,
  objectId: string,
  kind: number,
  known: StoredRecord | undefined,
  after: Uint8Array,
  version: bigint,
): void {
  const before = known && !known.removed ? known.signed : NOTHING;
  if (same(before, after)) return;
  plan.records.push({ objectId, kind, signed: after, version, removed: false });
  plan.changes.push({ objectId, kind, before, after });
}

function remove(plan: Plan, objectId: string, kind: number, known: StoredRecord | undefined): void {
  plan.records.push({ objectId, kind, signed: NOTHING, version: known?.version ?? 0n, removed: true });
  if (known) plan.changes.push({ objectId, kind, before: known.signed, after: NOTHING });
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
