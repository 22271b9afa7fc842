import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type PolicyManifest,
  PolicyManifestSchema,
  type RuleRecord,
  RuleRecordSchema,
  type Signed,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import {
  type PolicyDocument,
  PolicyDocumentSchema,
  type PolicySource,
  PolicySourceSchema,
} from "@cloudvlan/gen/entity/v1/policy_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import { type KeyProvider, requireSeal, sealOf } from "@cloudvlan/kit/keys";
import { isAccepted, type RoleKey } from "@cloudvlan/kit/sign";
import { and, eq, inArray } from "drizzle-orm";
import type { Scope } from "./domain/compile.ts";
import { documents, rules } from "./schema.ts";

/** A document as it stands in the database. */
export interface StoredDocument {
  readonly version: bigint;
  readonly document: PolicyDocument;
  /** Where it was written, when that is known. */
  readonly source: PolicySource | undefined;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface StoredRule {
  readonly record: RuleRecord;
  readonly signed: Signed;
}

type Row = typeof documents.$inferSelect;

export function sealFields(row: Omit<Row, "seal" | "manifest">) {
  const { tenantId, cvlanId, version, document, source, createdBy, createdAt, updatedAt } = row;
  const fields = { tenantId, cvlanId, version, document, createdBy, createdAt, updatedAt };
  // Rows without a source keep the seal that they had before there was one.
  return source.length > 0 ? { ...fields, source } : fields;
}

export const TABLE = "policy.document";

/** `broken` when the row's seal does not hold: somebody else wrote it. `undefined` when there is none. */
export async function readDocument(
  tx: Tx,
  keys: KeyProvider,
  scope: Scope,
): Promise<StoredDocument | "broken" | undefined> {
  const [row] = await tx.select().from(documents).where(inScope(scope));
  return row && open(keys, row);
}

function open(keys: KeyProvider, row: Row): StoredDocument | "broken" {
  if (!requireSeal(keys, TABLE, sealFields(row), row.seal)) return "broken";
  return {
    ...row,
    document: fromBinary(PolicyDocumentSchema, row.document),
    source: row.source.length > 0 ? fromBinary(PolicySourceSchema, row.source) : undefined,
  };
}

function sourceBytes(source: PolicySource | undefined): Uint8Array {
  return source ? toBinary(PolicySourceSchema, source) : new Uint8Array();
}

function inScope({ tenantId, cvlanId }: Scope) {
  return and(eq(documents.tenantId, tenantId), eq(documents.cvlanId, cvlanId));
}

/** The row, locked until the transaction ends, made (version 0) when there was none; and its manifest when it verifies. */
export async function lockDocument(
  tx: Tx,
  keys: KeyProvider,
  key: RoleKey,
  scope: Scope,
  empty: StoredDocument,
): Promise<{ document: StoredDocument | "broken"; manifest: PolicyManifest | undefined }> {
  const blank = {
    ...scope,
    ...empty,
    document: toBinary(PolicyDocumentSchema, empty.document),
    source: sourceBytes(empty.source),
    manifest: new Uint8Array(),
  };
  await tx
    .insert(documents)
    .values({ ...blank, seal: sealOf(keys, TABLE, sealFields(blank)) })
    .onConflictDoNothing();
  const [row] = await tx.select().from(documents).where(inScope(scope)).for("update");
  if (!row) throw new Error("the policy document was not stored");
  return { document: open(keys, row), manifest: openManifest(key, scope, row.manifest)?.manifest };
}

/** The manifest of the version in force, when it is one that a key of ours signed for this cvlan. */
export function openManifest(
  key: RoleKey,
  scope: Scope,
  bytes: Uint8Array,
): { readonly manifest: PolicyManifest; readonly signed: Signed } | undefined {
  if (bytes.length === 0) return undefined;
  const signed = openSigned(key, "manifest", bytes);
  const manifest = signed && fromBinary(PolicyManifestSchema, signed.payload);
  return signed && manifest && belongs(scope, manifest) ? { manifest, signed } : undefined;
}

function openSigned(key: RoleKey, domain: "rule" | "manifest", bytes: Uint8Array): Signed | undefined {
  let signed: Signed;
  try {
    signed = fromBinary(SignedSchema, bytes);
  } catch {
    return undefined; // not ours: whatever no key of ours signed is absent
  }
  return isAccepted(key, domain, signed) ? signed : undefined;
}

function belongs(scope: Scope, record: { tenantId: string; cvlanId: string }): boolean {
  return record.tenantId === scope.tenantId && record.cvlanId === scope.cvlanId;
}

/** @param manifest of a new version; undefined leaves the one that is there. */
export async function writeDocument(
  tx: Tx,
  keys: KeyProvider,
  scope: Scope,
  stored: StoredDocument,
  manifest: Signed | undefined,
): Promise<void> {
  const values = {
    ...scope,
    ...stored,
    document: toBinary(PolicyDocumentSchema, stored.document),
    source: sourceBytes(stored.source),
    ...(manifest && { manifest: toBinary(SignedSchema, manifest) }),
  };
  await tx
    .update(documents)
    .set({ ...values, seal: sealOf(keys, TABLE, sealFields(values)) })
    .where(inScope(scope));
}

/** Rules in force by rule id (hex), those that a key of ours signed for this cvlan; others are as good as absent. */
export async function readRules(tx: Tx, key: RoleKey, scope: Scope): Promise<Map<string, StoredRule>> {
  const rows = await tx
    .select()
    .from(rules)
    .where(and(eq(rules.tenantId, scope.tenantId), eq(rules.cvlanId, scope.cvlanId)));
  const found = new Map<string, StoredRule>();
  for (const row of rows) {
    const signed = openSigned(key, "rule", row.signed);
    const record = signed && fromBinary(RuleRecordSchema, signed.payload);
    if (!record || !belongs(scope, record) || !Buffer.from(record.ruleId).equals(row.ruleId)) continue;
    found.set(Buffer.from(row.ruleId).toString("hex"), { record, signed });
  }
  return found;
}

/** Replaces the rules that changed and takes out those that went. */
export async function writeRules(
  tx: Tx,
  scope: Scope,
  changed: readonly StoredRule[],
  removed: readonly Uint8Array[],
): Promise<void> {
  const gone = [...removed, ...changed.map(({ record }) => record.ruleId)];
  if (gone.length > 0) {
    await tx
      .delete(rules)
      .where(and(eq(rules.tenantId, scope.tenantId), eq(rules.cvlanId, scope.cvlanId), inArray(rules.ruleId, gone)));
  }
  if (changed.length > 0) {
    await tx.insert(rules).values(
      changed.map(({ record, signed }) => ({
        ...scope,
        ruleId: record.ruleId,
        signed: toBinary(SignedSchema, signed),
      })),
    );
  }
}
