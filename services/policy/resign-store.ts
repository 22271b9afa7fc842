import type { Signed } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import { isSignedByOther } from "@cloudvlan/kit/delegation";
import type { RoleKey, SigningKey } from "@cloudvlan/kit/sign";
import { and, count, eq, sql } from "drizzle-orm";
import type { Scope } from "./domain/compile.ts";
import { documents, rules } from "./schema.ts";
import { openManifest } from "./store.ts";

function rulesOfOthers(tenantId: string, { keyId }: SigningKey) {
  return and(eq(rules.tenantId, tenantId), isSignedByOther(rules.signed, keyId));
}

/** The first version of a document is made together with its manifest. */
function manifestsOfOthers(tenantId: string, { keyId }: SigningKey) {
  const isThere = sql`octet_length(${documents.manifest}) > 0`;
  return and(eq(documents.tenantId, tenantId), isThere, isSignedByOther(documents.manifest, keyId));
}

/** Cvlans with a rule or a manifest that another key signed. */
export async function cvlansSignedByOthers(tx: Tx, tenantId: string, key: SigningKey): Promise<string[]> {
  const ofRules = await tx.selectDistinct({ cvlanId: rules.cvlanId }).from(rules).where(rulesOfOthers(tenantId, key));
  const ofManifests = await tx
    .select({ cvlanId: documents.cvlanId })
    .from(documents)
    .where(manifestsOfOthers(tenantId, key));
  return [...new Set([...ofRules, ...ofManifests].map(({ cvlanId }) => cvlanId))].toSorted();
}

/** Rules and manifests that another key signed. */
export async function countSignedByOthers(tx: Tx, tenantId: string, key: SigningKey): Promise<number> {
  const [ofRules] = await tx.select({ left: count() }).from(rules).where(rulesOfOthers(tenantId, key));
  const [ofManifests] = await tx.select({ left: count() }).from(documents).where(manifestsOfOthers(tenantId, key));
  return (ofRules?.left ?? 0) + (ofManifests?.left ?? 0);
}

/** The manifest of a cvlan's policy when a key of ours signed it; whoever changes the policy waits until the transaction ends. */
export async function lockManifest(tx: Tx, key: RoleKey, scope: Scope): Promise<Signed | undefined> {
  const [row] = await tx
    .select({ manifest: documents.manifest })
    .from(documents)
    .where(and(eq(documents.tenantId, scope.tenantId), eq(documents.cvlanId, scope.cvlanId)))
    .for("update");
  return row && openManifest(key, scope, row.manifest)?.signed;
}

/** Stores another signature of the manifest in force; the document and its seal stay. */
export async function writeManifest(tx: Tx, { tenantId, cvlanId }: Scope, manifest: Uint8Array): Promise<void> {
  await tx
    .update(documents)
    .set({ manifest })
    .where(and(eq(documents.tenantId, tenantId), eq(documents.cvlanId, cvlanId)));
}
