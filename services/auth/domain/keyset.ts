import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type DelegatedKey,
  DelegatedKeySchema,
  type Keyset,
  KeysetSchema,
  KeyRole,
  type Signed,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { ServiceName } from "@cloudvlan/kit/caller";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Id, TenantId } from "@cloudvlan/kit/ids";
import { DELEGATION_LIFE_MS, EXTEND_BELOW_MS, type SigningKey, signRecord } from "@cloudvlan/kit/sign";

/** Keys of a keyset; every node of the tenant holds it whole. */
const MAX_KEYS = 64;
const BACKDATE_MS = 300_000;

const ROLES: Partial<Record<ServiceName, KeyRole>> = {
  registry: KeyRole.ENROL,
  policy: KeyRole.POLICY,
  netmap: KeyRole.MAP,
};

/** The only role for which a service may have a key. */
export function roleOf(service: ServiceName): KeyRole | undefined {
  return ROLES[service];
}

/** Version 0: nobody but the root may sign anything. */
export function firstKeyset(root: SigningKey, tenantId: TenantId, nowMs: number): Signed {
  return signKeyset(root, create(KeysetSchema, { tenantId, version: 0n, issuedAt: timestampFromMs(nowMs) }));
}

export interface Delegation {
  readonly role: KeyRole;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Id for the key, if it is a new one. */
  readonly keyId: Id<"key">;
  readonly nowMs: number;
}

export interface Delegated {
  readonly keyId: string;
  /** The keyset to sign and publish; undefined when it may stay as it is. */
  readonly next: Keyset | undefined;
}

/**
 * Adds a key to a keyset, or extends the one that is there and runs out.
 * @throws Refusal when the key stands there for another role, or the keyset is full.
 */
export function delegate(keyset: Keyset, { role, publicKey, keyId, nowMs }: Delegation): Delegated {
  const present = keyset.keys.find((key) => Buffer.from(key.publicKey).equals(publicKey));
  if (present && present.role !== role) {
    throw new Refusal("invalid", "KEY_HAS_ANOTHER_ROLE", "the key is delegated for another role", {
      field: "public_key",
      remedy: "make a key of its own for each role",
    });
  }
  if (present && present.notAfter && timestampMs(present.notAfter) - nowMs > EXTEND_BELOW_MS) {
    return { keyId: present.keyId, next: undefined };
  }
  if (!present && keyset.keys.length >= MAX_KEYS) {
    throw new Refusal("exhausted", "KEYSET_FULL", `the keyset of the tenant holds ${MAX_KEYS} keys`, {
      objectId: keyset.tenantId,
      remedy: "let the workers of a service share one key: they must use one database and one key provider",
    });
  }
  const key = create(DelegatedKeySchema, {
    keyId: present?.keyId ?? keyId,
    role,
    publicKey,
    notBefore: present?.notBefore ?? timestampFromMs(nowMs - BACKDATE_MS),
    notAfter: timestampFromMs(nowMs + DELEGATION_LIFE_MS),
  });
  return { keyId: key.keyId, next: withKey(keyset, key, nowMs) };
}

function withKey(keyset: Keyset, key: DelegatedKey, nowMs: number): Keyset {
  const others = keyset.keys.filter((other) => other.keyId !== key.keyId);
  return nextKeyset(keyset, [...others, key], nowMs);
}

/** The keyset of the next version, with these keys. */
export function nextKeyset({ tenantId, version }: Keyset, keys: readonly DelegatedKey[], nowMs: number): Keyset {
  return create(KeysetSchema, { tenantId, version: version + 1n, keys: [...keys], issuedAt: timestampFromMs(nowMs) });
}

export function signKeyset(root: SigningKey, keyset: Keyset): Signed {
  return signRecord(root, "keyset", toBinary(KeysetSchema, keyset));
}
