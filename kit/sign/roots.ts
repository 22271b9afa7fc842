import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type RootTransition, RootTransitionSchema, type Signed } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { TenantId } from "../ids/index.ts";
import { type SigningKey, signRecord, verifyRecord } from "./record.ts";

/** Times that a tenant's root key may be replaced; nodes and joining machines take no more transitions. */
export const MAX_ROOT_TRANSITIONS = 64;

/** Key id of a tenant's root key in `Signed`. */
export const ROOT_KEY_ID = "root";

/**
 * The statement of a root key that another one takes its place.
 * @param sequence 1 for the first replacement.
 * @param rootPublicKey Ed25519, 32 bytes.
 */
export function signRootTransition(
  former: SigningKey,
  tenantId: TenantId,
  sequence: bigint,
  rootPublicKey: Uint8Array,
  nowMs: number,
): Signed {
  const transition = create(RootTransitionSchema, {
    tenantId,
    sequence,
    rootPublicKey,
    issuedAt: timestampFromMs(nowMs),
    formerRootPublicKey: former.publicKey,
  });
  return signRecord(former, "root", toBinary(RootTransitionSchema, transition));
}

/**
 * The root keys of a tenant, oldest first, each signed by the one before; none when there are no transitions.
 * @throws Error when the transitions are no unbroken chain of this tenant.
 */
export function rootKeysOf(tenantId: string, transitions: readonly Signed[]): Uint8Array[] {
  if (transitions.length > MAX_ROOT_TRANSITIONS) throw new Error(`more than ${MAX_ROOT_TRANSITIONS} root transitions`);
  const keys: Uint8Array[] = [];
  let last: RootTransition | undefined;
  for (const signed of transitions) {
    const next = fromBinary(RootTransitionSchema, signed.payload);
    if (signed.keyId !== ROOT_KEY_ID || !verifyRecord(next.formerRootPublicKey, "root", signed))
      throw new Error("the former root key did not sign a root transition");
    if (next.tenantId !== tenantId) throw new Error("a root transition is of another tenant");
    if (next.rootPublicKey.length !== 32) throw new Error("a root transition names no Ed25519 key");
    if (!last) keys.push(next.formerRootPublicKey);
    else if (next.sequence !== last.sequence + 1n || !isSame(next.formerRootPublicKey, last.rootPublicKey))
      throw new Error("the root transitions have a gap");
    keys.push(next.rootPublicKey);
    last = next;
  }
  return keys;
}

/**
 * True when `current` is the pinned root key, or the transitions lead from the pinned one to it.
 * @throws Error when the transitions are no unbroken chain of this tenant.
 */
export function descendsFromPinned(
  tenantId: string,
  isPinned: (rootPublicKey: Uint8Array) => boolean,
  transitions: readonly Signed[],
  current: Uint8Array,
): boolean {
  if (isPinned(current)) return true;
  const keys = rootKeysOf(tenantId, transitions);
  const last = keys.at(-1);
  return last !== undefined && isSame(last, current) && keys.some(isPinned);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
