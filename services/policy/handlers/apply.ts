import { create, equals, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ObjectKind, RemovalSchema } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import {
  type Policy,
  type PolicyDocument,
  PolicyDocumentSchema,
  PolicySchema,
  type PolicySource,
  PolicySourceSchema,
} from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { type ApplyPolicyRequest, PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import type { RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import type { AuditLog } from "@cloudvlan/kit/audit";
import { type Caller, subjectOf } from "@cloudvlan/kit/caller";
import type { ChangeStreams } from "@cloudvlan/kit/changes";
import type { Clock } from "@cloudvlan/kit/clock";
import type { Database, Tx } from "@cloudvlan/kit/db";
import type { DelegatedKeys } from "@cloudvlan/kit/delegation";
import { Refusal } from "@cloudvlan/kit/errors";
import type { KeyProvider } from "@cloudvlan/kit/keys";
import type { Logger } from "@cloudvlan/kit/log";
import { pathOf } from "@cloudvlan/kit/access";
import type { Client } from "@connectrpc/connect";
import type { Scope } from "../domain/compile.ts";
import { checkDocument, checkSource } from "../domain/document.ts";
import { type Revision, revise } from "../domain/revise.ts";
import { namedTargets, pairTargets, type Selectors } from "../domain/targets.ts";
import { scopeOf } from "./scope.ts";
import { lockDocument, readRules, type StoredDocument, writeDocument, writeRules } from "../store.ts";
import { MANIFEST, ruleObject } from "../stream.ts";

export interface PolicyDeps {
  readonly clusterId: string;
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keys: KeyProvider;
  readonly changes: ChangeStreams;
  readonly audit: AuditLog;
  readonly registry: Client<typeof RegistryService>;
  readonly policyKeys: DelegatedKeys;
}

export async function applyPolicy(deps: PolicyDeps, request: ApplyPolicyRequest, caller: Caller): Promise<Policy> {
  const scope = scopeOf(request);
  const document = request.document ?? create(PolicyDocumentSchema);
  checkDocument(document);
  checkSource(request.source, document);
  const selectors = await resolve(deps, scope, document);

  return deps.policyKeys.signing(scope.tenantId, async (tx, key) => {
    const now = new Date(deps.clock.nowMs());
    const blank = {
      version: 0n,
      document: create(PolicyDocumentSchema),
      source: undefined,
      createdBy: subjectOf(caller),
      createdAt: now,
      updatedAt: now,
    };
    const locked = await lockDocument(tx, deps.keys, key, scope, blank);
    const former = locked.document === "broken" ? await reportBroken(deps, tx, caller, scope) : locked.document;
    // A row that somebody put back or broke must not take the version back: nodes refuse smaller ones.
    const version = max(former?.version ?? 0n, locked.manifest?.policyVersion ?? 0n);
    if (request.baseVersion !== undefined && request.baseVersion !== version)
      throw versionConflict(scope, request.baseVersion, version);

    const current = await readRules(tx, key, scope);
    const revision = revise(scope, key, document, selectors, version + 1n, current, former?.document);
    const { source } = request;
    const stored = { ...(former ?? blank), version: version + 1n, document, source, updatedAt: now };
    if (former && version > 0n && locked.manifest && isSame(former.document, document) && isEmpty(revision)) {
      // Rules that only moved in their file are no new version.
      const kept = { ...former, source };
      if (!isSameSource(former.source, source)) await writeDocument(tx, deps.keys, scope, kept, undefined);
      await deps.audit.record(tx, caller, { action: ACTION, objectId: scope.cvlanId, outcome: "ok" });
      return policyOf(deps.clusterId, scope, kept);
    }
    await writeRules(tx, scope, revision.changed, revision.removed);
    await writeDocument(tx, deps.keys, scope, stored, revision.manifest);
    await deps.changes.append(tx, scope.cvlanId, changesOf(revision));
    await deps.audit.record(tx, caller, { action: ACTION, objectId: scope.cvlanId, outcome: "ok" });
    return policyOf(deps.clusterId, scope, stored);
  });
}

const ACTION = pathOf(PolicyService.method.applyPolicy);

async function resolve(deps: PolicyDeps, scope: Scope, document: PolicyDocument): Promise<Selectors> {
  const named = namedTargets(document);
  // Asked even without names: registry refuses a cvlan that is not the tenant's.
  const { targets } = await deps.registry.resolveTargets({ ...scope, targets: named.map(({ target }) => target) });
  return pairTargets(
    named,
    targets.map(({ selector }) => selector),
  );
}

async function reportBroken(deps: PolicyDeps, tx: Tx, caller: Caller, scope: Scope): Promise<undefined> {
  deps.log.error(
    { ...scope },
    "the policy document in the database was not written by this service; it is treated as absent",
  );
  await deps.audit.record(tx, caller, { action: ACTION, objectId: scope.cvlanId, outcome: "DOCUMENT_SEAL_BROKEN" });
  return undefined;
}

function versionConflict(scope: Scope, base: bigint, version: bigint): Refusal {
  return new Refusal(
    "conflict",
    "POLICY_VERSION_CHANGED",
    `the document was made from version ${base}, in force is ${version}`,
    {
      field: "base_version",
      objectId: scope.cvlanId,
      remedy: `read version ${version}, make the change there, and apply again`,
    },
  );
}

function changesOf({ changed, removed, manifest }: Revision): Parameters<ChangeStreams["append"]>[2] {
  return [
    ...changed.map(({ record, signed }) => ({
      objectId: ruleObject(record.ruleId),
      change: { case: "rule" as const, value: toBinary(SignedSchema, signed) },
    })),
    ...removed.map((ruleId) => ({
      objectId: ruleObject(ruleId),
      change: { case: "removal" as const, value: create(RemovalSchema, { kind: ObjectKind.RULE }) },
    })),
    { objectId: MANIFEST, change: { case: "manifest" as const, value: toBinary(SignedSchema, manifest) } },
  ];
}

function isSame(a: PolicyDocument, b: PolicyDocument): boolean {
  return Buffer.from(toBinary(PolicyDocumentSchema, a)).equals(toBinary(PolicyDocumentSchema, b));
}

function isSameSource(a: PolicySource | undefined, b: PolicySource | undefined): boolean {
  return a && b ? equals(PolicySourceSchema, a, b) : a === b;
}

function isEmpty({ changed, removed }: Revision): boolean {
  return changed.length === 0 && removed.length === 0;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** The policy as a caller sees it. */
export function policyOf(clusterId: string, scope: Scope, stored: StoredDocument): Policy {
  const provenance = {
    createdAt: timestampFromDate(stored.createdAt),
    updatedAt: timestampFromDate(stored.updatedAt),
    createdBy: stored.createdBy,
  };
  const { version, document, source } = stored;
  return create(PolicySchema, { ...scope, clusterId, version, document, provenance, ...(source && { source }) });
}
