import { fromBinary } from "@bufbuild/protobuf";
import { type Keyset, KeysetSchema, type Signed } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { TenantId } from "../ids/index.ts";
import { verifyRecord } from "./record.ts";

/** Milliseconds for which a key is delegated. */
export const DELEGATION_LIFE_MS = 365 * 86_400_000;
/** A delegation with less than this left is extended when it is asked for again. */
export const EXTEND_BELOW_MS = DELEGATION_LIFE_MS / 3;

/**
 * Which keys may sign what for a tenant, as its root key says.
 * @param rootPublicKey Ed25519, 32 bytes.
 * @throws Error when the root key did not sign it, or signed it for another tenant.
 */
export function openKeyset(rootPublicKey: Uint8Array, tenantId: TenantId, signed: Signed): Keyset {
  if (!verifyRecord(rootPublicKey, "keyset", signed))
    throw new Error(`the root key of ${tenantId} did not sign this keyset`);
  const keyset = fromBinary(KeysetSchema, signed.payload);
  if (keyset.tenantId !== tenantId) throw new Error(`a keyset for ${tenantId} is of another tenant`);
  return keyset;
}
