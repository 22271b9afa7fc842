import { setTimeout as sleep } from "node:timers/promises";
import { type KeyRotation, KeyRotationStage } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { isId, type TenantId } from "@cloudvlan/kit/ids";
import { KIND } from "../domain/record.ts";
import type { Scope } from "../domain/scope.ts";
import { recordsSignedByOthers } from "../store.ts";
import type { NetmapContext } from "./context.ts";
import { projectNodes, projectPolicy } from "./project.ts";

/** Milliseconds between looks at which keys may go. */
const LOOK_MS = 3_000;

/** What the keys of a role sign of what the tables have. */
const SIGNS: Readonly<Partial<Record<KeyRole, readonly number[]>>> = {
  [KeyRole.ENROL]: [KIND.node, KIND.dns, KIND.relayMap],
  [KeyRole.POLICY]: [KIND.rule, KIND.manifest],
};

/**
 * Lets keys go that their services have replaced, once no record in the tables is theirs. Maps that nobody looks at are
 * brought up to date for it. Until the signal aborts; never rejects.
 */
export async function retireKeys(context: NetmapContext, signal: AbortSignal): Promise<void> {
  const { auth, log } = context;
  let unheard = "";
  while (!signal.aborted) {
    try {
      const { rotations } = await auth.listUnfinishedKeyRotations({}, { signal });
      unheard = "";
      for (const rotation of rotations) if (!signal.aborted) await tryRetire(context, rotation, signal);
    } catch (error) {
      const message = String(error);
      // auth starts later, or is of a version that replaces no keys.
      if (!signal.aborted && message !== unheard) log.info({ error: message }, "auth does not say which keys may go");
      unheard = message;
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function tryRetire(context: NetmapContext, rotation: KeyRotation, signal: AbortSignal): Promise<void> {
  const { tenantId, role, stage } = rotation;
  const kinds = SIGNS[role];
  if (!kinds || stage !== KeyRotationStage.MAPPING || !isId("tenant", tenantId)) return;
  try {
    await retire(context, tenantId, rotation, kinds, signal);
  } catch (error) {
    // It was deleted after auth said what to replace.
    const isGone = error instanceof Refusal && error.reason === "TENANT_NOT_FOUND";
    if (signal.aborted || isGone) return;
    context.log.warn({ error: String(error), tenantId }, "a former key does not go yet; it is tried again");
  }
}

async function retire(
  context: NetmapContext,
  tenantId: TenantId,
  rotation: KeyRotation,
  kinds: readonly number[],
  signal: AbortSignal,
): Promise<void> {
  const { role, keyId } = rotation;
  const count = () => context.db.tenant(tenantId, (tx) => recordsSignedByOthers(tx, tenantId, kinds, keyId));
  let left = 0;
  for (const { cvlanId } of await count()) {
    if (signal.aborted) return;
    if (!isId("cvlan", cvlanId)) continue;
    const rest = async () => (await count()).find((map) => map.cvlanId === cvlanId)?.records ?? 0;
    if (await bringUpToDate(context, { tenantId, cvlanId }, role, rest, signal)) left += await rest();
  }
  const stage = left === 0 ? KeyRotationStage.DONE : KeyRotationStage.MAPPING;
  if (stage === rotation.stage && BigInt(left) === rotation.left) return;
  await context.auth.reportKeyRotation({ tenantId, role, keyId, stage, left: BigInt(left) });
}

/**
 * Takes what the source has to say of a cvlan, until nothing is left or the source has no more.
 * @returns false when there is no such cvlan any more: nobody is served its records.
 */
async function bringUpToDate(
  context: NetmapContext,
  scope: Scope,
  role: KeyRole,
  rest: () => Promise<number>,
  signal: AbortSignal,
): Promise<boolean> {
  const enough = new AbortController();
  const project = role === KeyRole.ENROL ? projectNodes : projectPolicy;
  const heard = async (changes: number): Promise<void> => {
    if (changes === 0 || (await rest()) === 0) enough.abort();
  };
  try {
    await project(context, scope, heard, AbortSignal.any([signal, enough.signal]));
  } catch (error) {
    if (error instanceof Refusal && error.reason === "CVLAN_NOT_FOUND") return false;
    if (!enough.signal.aborted) throw error;
  }
  return true;
}
