import { fromBinary } from "@bufbuild/protobuf";
import { type Signed, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type Domain, type SigningKey, verifyRecord } from "./record.ts";

/** The key that signs for a role of a tenant, and those whose records count: while it is replaced, the former one's too. */
export interface RoleKey extends SigningKey {
  /** Public keys (Ed25519, 32 bytes) that the tenant's keyset has for the role, by key id. */
  readonly accepted: ReadonlyMap<string, Uint8Array>;
}

/** True when this very key says that it signed a serialised `Signed`; whether it did is to be verified. */
export function isSignedBy({ keyId }: SigningKey, record: Uint8Array): boolean {
  return fromBinary(SignedSchema, record).keyId === keyId;
}

/** True when a key of the role signed the record. The domain must be one of the role's. */
export function isAccepted(key: RoleKey, domain: Domain, record: Signed): boolean {
  const publicKey = key.accepted.get(record.keyId);
  return publicKey !== undefined && verifyRecord(publicKey, domain, record);
}
