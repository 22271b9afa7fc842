import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type DelegatedKey,
  DelegatedKeySchema,
  type KeyRole,
  KeysetSchema,
  type Signed,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type Clock, systemClock } from "../clock/index.ts";
import { newId, type TenantId } from "../ids/index.ts";
import { DELEGATION_LIFE_MS, newSigningSeed, type SigningKey, signingKeyFromSeed, signRecord } from "../sign/index.ts";

/** What auth answers to DelegateKey. */
interface Answer {
  readonly keyId: string;
  readonly keyset: Signed;
  readonly rootPublicKey: Uint8Array;
}

/** Root key and keyset of one tenant, in memory: what auth keeps, for tests of services, which may not import it. */
export interface Delegator {
  readonly root: SigningKey;
  readonly keys: readonly DelegatedKey[];
  keyset(): Signed;
  /** Adds a key, or extends the one that is there. */
  readonly delegate: (role: KeyRole, publicKey: Uint8Array) => Answer;
}

export function delegator(tenantId: TenantId, clock: Clock = systemClock): Delegator {
  const root = signingKeyFromSeed("root", newSigningSeed());
  const keys: DelegatedKey[] = [];
  let version = 0n;

  function keyset(): Signed {
    const issuedAt = timestampFromMs(clock.nowMs());
    return signRecord(
      root,
      "keyset",
      toBinary(KeysetSchema, create(KeysetSchema, { tenantId, version, keys, issuedAt })),
    );
  }

  return {
    root,
    keys,
    keyset,
    delegate(role, publicKey) {
      const nowMs = clock.nowMs();
      let key = keys.find((known) => Buffer.from(known.publicKey).equals(publicKey));
      if (!key) {
        const notBefore = timestampFromMs(nowMs - 60_000);
        key = create(DelegatedKeySchema, { keyId: newId("key", nowMs), role, publicKey, notBefore });
        keys.push(key);
      }
      key.notAfter = timestampFromMs(nowMs + DELEGATION_LIFE_MS);
      version++;
      return { keyId: key.keyId, keyset: keyset(), rootPublicKey: root.publicKey };
    },
  };
}
