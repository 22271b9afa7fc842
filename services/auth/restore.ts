import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { KeysetSchema, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { requireId } from "@cloudvlan/kit/ids";
import type { KeyProvider } from "@cloudvlan/kit/keys";
import { openKeyset } from "@cloudvlan/kit/sign";
import { signKeyset } from "./domain/keyset.ts";
import { openRootKey } from "./root-key.ts";

/** What a tenant's row in a backup says of its keys. */
export interface ArchivedKeys {
  readonly tenantId: string;
  readonly rootPublicKey: Uint8Array;
  readonly rootSeed: Uint8Array;
  /** Serialised `Signed`. */
  readonly keyset: Uint8Array;
}

/**
 * The keyset of a backup under a later version: nodes that saw a later one of the same root key refuse what is older.
 * @param version greater than any that was in use.
 * @throws Error when the root key did not sign the keyset, or the wrapped seed is not that of the root key.
 */
export async function restoredKeyset(
  keys: KeyProvider,
  { tenantId: id, rootPublicKey, rootSeed, keyset }: ArchivedKeys,
  version: number,
  nowMs: number,
): Promise<{ keyset: Uint8Array; version: number }> {
  const tenantId = requireId("tenant", id, "tenant_id");
  const { keys: delegated } = openKeyset(rootPublicKey, tenantId, fromBinary(SignedSchema, keyset));
  const root = await openRootKey(keys, {
    id: tenantId,
    rootPublicKey: Buffer.from(rootPublicKey),
    rootSeed: Buffer.from(rootSeed),
  });
  const next = create(KeysetSchema, {
    tenantId,
    version: BigInt(version),
    keys: delegated,
    issuedAt: timestampFromMs(nowMs),
  });
  return { keyset: toBinary(SignedSchema, signKeyset(root, next)), version };
}
