import { createHash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import {
  DnsRecordSchema,
  type PolicyManifest,
  PolicyManifestSchema,
  RelayMapSchema,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { MAX_DNS_BYTES, MAX_RECORD_BYTES, MAX_RELAY_MAP_BYTES } from "@cloudvlan/kit/sign";
import { type Entry, nodeEntry, type RuleEntry, ruleEntry } from "./entry.ts";
import { openRecord, RecordRefused, type TrustedKeyset } from "./keyset.ts";
import type { Scope } from "./scope.ts";

/** Kinds of object in the tables. */
export const KIND = { node: 1, rule: 2, manifest: 3, dns: 4, relayMap: 5 } as const;

/** Object id of a cvlan's manifest. */
export const MANIFEST = "manifest";

/** Object ids of the records that a cvlan has one of each, which are every node's and stand beside the log. */
export type SharedId = "dns" | "relay_map";

/** A record that all nodes of a cvlan are told alike: how names are resolved, which servers help to find ways. */
export interface SharedEntry {
  readonly id: SharedId;
  readonly kind: number;
  /** `record_revision`. */
  readonly revision: bigint;
  /** Serialised `Signed`. */
  readonly bytes: Uint8Array;
}

interface SharedRecord {
  readonly tenantId: string;
  readonly cvlanId: string;
  readonly recordRevision: bigint;
}

interface SharedForm {
  readonly kind: number;
  readonly domain: "dns" | "relay-map";
  readonly maxBytes: number;
  readonly parse: (payload: Uint8Array) => SharedRecord;
}

const SHARED: Readonly<Record<SharedId, SharedForm>> = {
  dns: {
    kind: KIND.dns,
    domain: "dns",
    maxBytes: MAX_DNS_BYTES,
    parse: (payload) => fromBinary(DnsRecordSchema, payload),
  },
  relay_map: {
    kind: KIND.relayMap,
    domain: "relay-map",
    maxBytes: MAX_RELAY_MAP_BYTES,
    parse: (payload) => fromBinary(RelayMapSchema, payload),
  },
};

export function isShared(objectId: string): objectId is SharedId {
  return Object.hasOwn(SHARED, objectId);
}

/**
 * A node or rule that the right key signed for this cvlan under this id.
 * @throws RecordRefused with the reason.
 */
export function openEntry(
  keyset: TrustedKeyset,
  scope: Scope,
  kind: "node" | "rule",
  objectId: string,
  bytes: Uint8Array,
  nowMs: number,
): Entry {
  checkSize(bytes, MAX_RECORD_BYTES);
  const entry = parseEntry(kind, openRecord(keyset, kind, bytes, nowMs), bytes);
  checkScope(scope, entry.record);
  if (entry.id !== objectId) throw new RecordRefused("WRONG_OBJECT", "the record is that of another object");
  return entry;
}

function checkSize(bytes: Uint8Array, most: number): void {
  if (bytes.length > most) throw new RecordRefused("TOO_LARGE", `nodes take such records of at most ${most} bytes`);
}

/** @throws RecordRefused when the payload cannot be served. */
function parseEntry(kind: "node" | "rule", payload: Uint8Array, bytes: Uint8Array): Entry {
  try {
    return kind === "node" ? nodeEntry(payload, bytes) : ruleEntry(payload, bytes);
  } catch (error) {
    throw new RecordRefused("MALFORMED", error instanceof Error ? error.message : String(error));
  }
}

/** The entry of bytes whose signature was verified before they were stored. */
export function reopenEntry(kind: number, bytes: Uint8Array): Entry {
  const { payload } = fromBinary(SignedSchema, bytes);
  return kind === KIND.node ? nodeEntry(payload, bytes) : ruleEntry(payload, bytes);
}

/** @throws RecordRefused with the reason. */
export function openManifest(keyset: TrustedKeyset, scope: Scope, bytes: Uint8Array, nowMs: number): PolicyManifest {
  const manifest = fromBinary(PolicyManifestSchema, openRecord(keyset, "manifest", bytes, nowMs));
  checkScope(scope, manifest);
  return manifest;
}

/** @throws RecordRefused with the reason. */
export function openShared(
  keyset: TrustedKeyset,
  scope: Scope,
  id: SharedId,
  bytes: Uint8Array,
  nowMs: number,
): SharedEntry {
  const { kind, domain, maxBytes, parse } = SHARED[id];
  checkSize(bytes, maxBytes);
  const record = parse(openRecord(keyset, domain, bytes, nowMs));
  checkScope(scope, record);
  return { id, kind, revision: record.recordRevision, bytes };
}

function checkScope(scope: Scope, record: { tenantId: string; cvlanId: string }): void {
  if (record.tenantId !== scope.tenantId) throw new RecordRefused("WRONG_TENANT", "the record is another tenant's");
  if (record.cvlanId !== scope.cvlanId) throw new RecordRefused("WRONG_CVLAN", "the record is another cvlan's");
}

/** True when these are exactly the rules of the manifest. See `PolicyManifest.rules_sha256`. */
export function isComplete(manifest: PolicyManifest, rules: readonly RuleEntry[]): boolean {
  if (rules.length !== manifest.rules) return false;
  const sorted = rules.toSorted((a, b) => Buffer.compare(a.record.ruleId, b.record.ruleId));
  const hash = createHash("sha256");
  for (const { bytes } of sorted)
    hash.update(createHash("sha256").update(fromBinary(SignedSchema, bytes).payload).digest());
  return hash.digest().equals(manifest.rulesSha256);
}
