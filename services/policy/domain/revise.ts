import { toBinary } from "@bufbuild/protobuf";
import {
  PolicyManifestSchema,
  type RuleRecord,
  RuleRecordSchema,
  type Signed,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { PolicyDocument } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { type SigningKey, signRecord } from "@cloudvlan/kit/sign";
import { compileRule, manifestOf, ruleIdOf, sameRule, type Scope } from "./compile.ts";
import type { Selectors } from "./targets.ts";

export interface SignedRule {
  readonly record: RuleRecord;
  readonly signed: Signed;
}

/** What a new document does to the rules in force. */
export interface Revision {
  /** Rules that are new or say something else, signed at the new version. */
  readonly changed: readonly SignedRule[];
  /** Ids of rules that are gone. */
  readonly removed: readonly Uint8Array[];
  readonly manifest: Signed;
}

/**
 * Compiles a document beside the rules in force: a rule that says the same keeps its bytes.
 * @param current rules in force, by rule id (hex).
 * @param former the document in force; its rules are taken out even when their rows are gone.
 */
export function revise(
  scope: Scope,
  key: SigningKey,
  document: PolicyDocument,
  selectors: Selectors,
  version: bigint,
  current: ReadonlyMap<string, SignedRule>,
  former: PolicyDocument | undefined,
): Revision {
  const changed: SignedRule[] = [];
  const kept = new Map<string, { ruleId: Uint8Array; payload: Uint8Array }>();
  for (const [position, rule] of document.rules.entries()) {
    const record = compileRule(scope, rule, selectors, version, `document.rules[${position}]`);
    const id = hex(record.ruleId);
    const before = current.get(id);
    const signed = before && sameRule(before.record, record) ? before.signed : sign(key, record);
    if (signed !== before?.signed) changed.push({ record, signed });
    kept.set(id, { ruleId: record.ruleId, payload: signed.payload });
  }
  const known = new Set([
    ...current.keys(),
    ...(former?.rules ?? []).map(({ name }) => hex(ruleIdOf(scope.cvlanId, name))),
  ]);
  const removed = [...known].filter((id) => !kept.has(id)).map((id) => Uint8Array.from(Buffer.from(id, "hex")));
  const manifest = toBinary(PolicyManifestSchema, manifestOf(scope, version, [...kept.values()]));
  return { changed, removed, manifest: signRecord(key, "manifest", manifest) };
}

function sign(key: SigningKey, record: RuleRecord): Signed {
  return signRecord(key, "rule", toBinary(RuleRecordSchema, record));
}

function hex(id: Uint8Array): string {
  return Buffer.from(id).toString("hex");
}
