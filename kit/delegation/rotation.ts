import { setTimeout as sleep } from "node:timers/promises";
import { type KeyRotation, KeyRotationStage } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "../errors/index.ts";
import { isId, type TenantId } from "../ids/index.ts";
import type { Logger } from "../log/index.ts";
import type { RoleKey } from "../sign/index.ts";
import { type Delegated, replace, type SeedOptions } from "./seeds.ts";

/** Milliseconds between looks at which keys are to be replaced. */
const LOOK_MS = 3_000;

/** What came of a batch of records that were to be signed again. */
export interface Resigned {
  readonly signed: number;
  /** Records of the tenant that another key signed, after the batch. */
  readonly left: number;
}

export interface RotationOptions extends SeedOptions {
  readonly log: Logger;
  /** Signs a batch of the tenant's records that another key signed again with this one; none to have no records. */
  readonly resign?: (tenantId: TenantId, key: RoleKey) => Promise<Resigned>;
}

/** What is told of keys while they are replaced. */
export interface RotationEvents {
  /** The key is in force from here on. */
  replaced(tenantId: TenantId, delegated: Delegated): void;
  /** The former keys are gone, or nobody replaces them any more. */
  ended(tenantId: TenantId): void;
}

/**
 * Replaces the keys of the role as auth is asked to, until the signal aborts. Each step is found again after a crash, and every
 * worker may do it at once. Never rejects.
 */
export async function replaceKeys(
  options: RotationOptions,
  events: RotationEvents,
  signal: AbortSignal,
): Promise<void> {
  const { auth, role, log } = options;
  const busy = new Set<TenantId>();
  let unheard = "";
  while (!signal.aborted) {
    try {
      const { rotations } = await auth.listUnfinishedKeyRotations({}, { signal });
      unheard = "";
      const ours = new Map(rotations.flatMap((rotation) => (rotation.role === role ? named(rotation) : [])));
      for (const tenantId of busy) if (!ours.has(tenantId) && busy.delete(tenantId)) events.ended(tenantId);
      for (const [tenantId, rotation] of ours) {
        if (signal.aborted) return;
        busy.add(tenantId);
        await tried(options, tenantId, () => advance(options, events, tenantId, rotation, signal));
      }
    } catch (error) {
      const message = String(error);
      // auth starts later, or is of a version that replaces no keys.
      if (!signal.aborted && message !== unheard)
        log.info({ error: message }, "auth does not say which keys to replace");
      unheard = message;
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
}

function named(rotation: KeyRotation): [TenantId, KeyRotation][] {
  return isId("tenant", rotation.tenantId) ? [[rotation.tenantId, rotation]] : [];
}

async function tried({ log }: RotationOptions, tenantId: TenantId, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    // It was deleted after auth said what to replace.
    if (error instanceof Refusal && error.reason === "TENANT_NOT_FOUND") return;
    log.warn({ error, object_id: tenantId }, "a signing key is not replaced yet; it is tried again");
  }
}

async function advance(
  options: RotationOptions,
  events: RotationEvents,
  tenantId: TenantId,
  rotation: KeyRotation,
  signal: AbortSignal,
): Promise<void> {
  const { stage, formerKeyIds } = rotation;
  if (stage !== KeyRotationStage.REQUESTED && stage !== KeyRotationStage.SIGNING) return;
  const { auth, role, resign } = options;
  const delegated = await replace(options, tenantId, formerKeyIds);
  events.replaced(tenantId, delegated);
  const { keyId } = delegated.key;
  while (!signal.aborted) {
    const { signed, left } = resign ? await resign(tenantId, delegated.key) : { signed: 0, left: 0 };
    // Who signs nothing that is kept has nothing for the network map to take.
    const done = role === KeyRole.MAP ? KeyRotationStage.DONE : KeyRotationStage.MAPPING;
    const reached = left === 0 ? done : KeyRotationStage.SIGNING;
    const isNews = reached !== stage || BigInt(left) !== rotation.left;
    if (isNews) await auth.reportKeyRotation({ tenantId, role, keyId, stage: reached, left: BigInt(left) });
    if (left === 0 || signed === 0) return;
  }
}
