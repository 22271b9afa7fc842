import { fromBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { KeyRole, type Signed, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { TenantId } from "@cloudvlan/kit/ids";
import { type Domain, openKeyset, rootKeysOf, verifyRecord } from "@cloudvlan/kit/sign";

/** Which keys may sign what for a tenant, verified against its root key. */
export interface TrustedKeyset {
  readonly version: bigint;
  /** Serialised `Signed`, as nodes get it. */
  readonly bytes: Uint8Array;
  /** Ed25519, 32 bytes. */
  readonly rootPublicKey: Uint8Array;
  /** Serialised `Signed` of what each root key said of its successor, oldest first: nodes may have pinned a former one. */
  readonly rootTransitions: readonly Uint8Array[];
  readonly keys: ReadonlyMap<string, TrustedKey>;
}

interface TrustedKey {
  readonly role: KeyRole;
  readonly publicKey: Uint8Array;
  /** Milliseconds since the Unix epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Why signed bytes are not served; `UNKNOWN_KEY` may pass when a newer keyset is fetched. */
export class RecordRefused extends Error {
  override readonly name = "RecordRefused";
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Hosts' clocks differ by so much at most, milliseconds. */
const SKEW = 5 * 60 * 1000;

/** @throws Error when the root key did not sign it for this tenant, or the transitions are no chain of its root keys. */
export function trustKeyset(
  bytes: Uint8Array,
  rootPublicKey: Uint8Array,
  rootTransitions: readonly Uint8Array[],
  tenantId: TenantId,
): TrustedKeyset {
  rootKeysOf(
    tenantId,
    rootTransitions.map((transition) => fromBinary(SignedSchema, transition)),
  );
  const keyset = openKeyset(rootPublicKey, tenantId, fromBinary(SignedSchema, bytes));
  const keys = keyset.keys.map(({ keyId, role, publicKey, notBefore, notAfter }): [string, TrustedKey] => [
    keyId,
    { role, publicKey, notBefore: instant(notBefore) - SKEW, notAfter: instant(notAfter) },
  ]);
  return { version: keyset.version, bytes, rootPublicKey, rootTransitions, keys: new Map(keys) };
}

function instant(timestamp: Timestamp | undefined): number {
  if (!timestamp) throw new Error("a delegated key has no validity");
  return timestampMs(timestamp);
}

const ROLES = {
  node: KeyRole.ENROL,
  dns: KeyRole.ENROL,
  "relay-map": KeyRole.ENROL,
  rule: KeyRole.POLICY,
  manifest: KeyRole.POLICY,
} as const satisfies Partial<Record<Domain, KeyRole>>;

/**
 * The payload of a record that a key of the right role signed.
 * @param nowMs milliseconds since the Unix epoch.
 * @throws RecordRefused for a malformed record, an unknown or expired key, a key of another role, a bad signature.
 */
export function openRecord(
  keyset: TrustedKeyset,
  domain: keyof typeof ROLES,
  bytes: Uint8Array,
  nowMs: number,
): Uint8Array {
  const signed = parseSigned(bytes);
  const key = keyset.keys.get(signed.keyId);
  if (!key) throw new RecordRefused("UNKNOWN_KEY", "the key is not in the tenant's keyset");
  if (key.role !== ROLES[domain]) throw new RecordRefused("WRONG_ROLE", `the key may not sign a ${domain}`);
  if (nowMs < key.notBefore || nowMs > key.notAfter)
    throw new RecordRefused("KEY_NOT_VALID", "the key is not valid now");
  if (!verifyRecord(key.publicKey, domain, signed))
    throw new RecordRefused("BAD_SIGNATURE", "the signature does not hold");
  return signed.payload;
}

function parseSigned(bytes: Uint8Array): Signed {
  try {
    return fromBinary(SignedSchema, bytes);
  } catch {
    throw new RecordRefused("MALFORMED", "the bytes are no signed record");
  }
}
