import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type PolicyManifest,
  PolicyManifestSchema,
  type RuleRecord,
  RuleRecordSchema,
  type RuleSelector,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { PolicyRule, PolicyTarget } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import type { CvlanId, TenantId } from "@cloudvlan/kit/ids";
import { MAX_RECORD_BYTES } from "@cloudvlan/kit/sign";
import { type Selectors, selectorOf } from "./targets.ts";

/** Bytes of a rule record before it is signed: signature, key id and framing take the rest of what a node takes. */
export const MAX_RULE_BYTES = MAX_RECORD_BYTES - 196;

export interface Scope {
  readonly tenantId: TenantId;
  readonly cvlanId: CvlanId;
}

/** Id of a rule, stable for its name: 16 bytes. See `RuleRecord.rule_id`. */
export function ruleIdOf(cvlanId: CvlanId, name: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(cvlanId).update("\0").update(name).digest().subarray(0, 16));
}

/**
 * The record of a rule.
 * @param path of the rule in the request.
 * @throws Refusal `invalid` when the record would be larger than a node takes.
 */
export function compileRule(
  scope: Scope,
  rule: PolicyRule,
  selectors: Selectors,
  version: bigint,
  path: string,
): RuleRecord {
  const side = (targets: readonly PolicyTarget[], name: string): RuleSelector[] =>
    targets.map((target, position) => selectorOf(target, selectors, `${path}.${name}[${position}]`));
  const record = create(RuleRecordSchema, {
    ...scope,
    ruleId: ruleIdOf(scope.cvlanId, rule.name),
    policyVersion: version,
    name: rule.name,
    action: rule.action,
    sources: side(rule.sources, "sources"),
    destinations: side(rule.destinations, "destinations"),
    protocol: rule.protocol,
    ports: rule.ports,
    tunnel: rule.tunnel,
  });
  const size = toBinary(RuleRecordSchema, record).length;
  if (size > MAX_RULE_BYTES) {
    throw new Refusal(
      "invalid",
      "RULE_TOO_LARGE",
      `rule ${rule.name} takes ${size} bytes; ${MAX_RULE_BYTES} is the limit`,
      {
        field: path,
        remedy: "split the rule, or put its nodes into a group",
      },
    );
  }
  return record;
}

/** True when two records say the same, whatever versions they carry. */
export function sameRule(a: RuleRecord, b: RuleRecord): boolean {
  const plain = (record: RuleRecord) => toBinary(RuleRecordSchema, { ...record, policyVersion: 0n });
  return Buffer.from(plain(a)).equals(plain(b));
}

/** The manifest of a whole set of rules. See `PolicyManifest`. */
export function manifestOf(
  scope: Scope,
  version: bigint,
  rules: readonly { ruleId: Uint8Array; payload: Uint8Array }[],
): PolicyManifest {
  const sorted = rules.toSorted((a, b) => Buffer.compare(a.ruleId, b.ruleId));
  const hash = createHash("sha256");
  for (const { payload } of sorted) hash.update(createHash("sha256").update(payload).digest());
  return create(PolicyManifestSchema, {
    ...scope,
    policyVersion: version,
    rulesSha256: hash.digest(),
    rules: rules.length,
  });
}
