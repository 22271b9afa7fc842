import { toBinary } from "@bufbuild/protobuf";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { ChangeStreams } from "@cloudvlan/kit/changes";
import type { Database, Tx } from "@cloudvlan/kit/db";
import type { Resigned } from "@cloudvlan/kit/delegation";
import { isId, type TenantId } from "@cloudvlan/kit/ids";
import type { Logger } from "@cloudvlan/kit/log";
import { type RoleKey, signRecord } from "@cloudvlan/kit/sign";
import type { Scope } from "../domain/compile.ts";
import { countSignedByOthers, cvlansSignedByOthers, lockManifest, writeManifest } from "../resign-store.ts";
import { readRules, writeRules } from "../store.ts";
import { MANIFEST, ruleObject } from "../stream.ts";

interface ResignDeps {
  readonly db: Database;
  readonly changes: ChangeStreams;
  readonly log: Logger;
}

/**
 * Has the tenant's key sign the rules and manifests that another key of the role signed, as they are: the version stays. A
 * cvlan's are signed together, while nobody applies a policy to it.
 */
export async function resignPolicies(deps: ResignDeps, tenantId: TenantId, key: RoleKey): Promise<Resigned> {
  let signed = 0;
  for (const cvlanId of await deps.db.tenant(tenantId, (tx) => cvlansSignedByOthers(tx, tenantId, key))) {
    if (!isId("cvlan", cvlanId)) continue;
    signed += await deps.db.tenant(tenantId, (tx) => resign(deps, tx, key, { tenantId, cvlanId }));
  }
  return { signed, left: await deps.db.tenant(tenantId, (tx) => countSignedByOthers(tx, tenantId, key)) };
}

async function resign({ changes, log }: ResignDeps, tx: Tx, key: RoleKey, scope: Scope): Promise<number> {
  const former = await lockManifest(tx, key, scope);
  if (!former) {
    log.error({ ...scope }, "a policy has no manifest of ours; it is not signed again until it is applied anew");
    return 0;
  }
  const rules = [...(await readRules(tx, key, scope)).values()]
    .filter(({ signed }) => signed.keyId !== key.keyId)
    .map(({ record, signed }) => ({ record, signed: signRecord(key, "rule", signed.payload) }));
  const manifest = toBinary(SignedSchema, signRecord(key, "manifest", former.payload));
  await writeRules(tx, scope, rules, []);
  await writeManifest(tx, scope, manifest);
  await changes.append(tx, scope.cvlanId, [
    ...rules.map(({ record, signed }) => ({
      objectId: ruleObject(record.ruleId),
      change: { case: "rule" as const, value: toBinary(SignedSchema, signed) },
    })),
    { objectId: MANIFEST, change: { case: "manifest" as const, value: manifest } },
  ]);
  return rules.length + 1;
}
