import { toBinary } from "@bufbuild/protobuf";
import type { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { isId, type TenantId } from "@cloudvlan/kit/ids";
import type { Logger } from "@cloudvlan/kit/log";
import type { Client } from "@connectrpc/connect";
import { trustKeyset, type TrustedKeyset } from "../domain/keyset.ts";
import { follow, isCursorAhead } from "./retry.ts";

/** The keysets of the tenants that this worker serves, as auth has them. */
export interface Keysets {
  /** Fetched when first asked for. */
  get(tenantId: TenantId): Promise<TrustedKeyset>;
  /** The one fetched last; undefined before the first. */
  known(tenantId: TenantId): TrustedKeyset | undefined;
  /** Fetched again: somebody saw a key that the known one does not have. */
  refresh(tenantId: TenantId): Promise<TrustedKeyset>;
  /** Calls `changed` with each tenant whose keyset got newer. */
  onChange(changed: (tenantId: TenantId) => void): void;
  /** Follows auth until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function keysets(auth: Client<typeof AuthService>, log: Logger): Keysets {
  const current = new Map<TenantId, TrustedKeyset>();
  const listeners: ((tenantId: TenantId) => void)[] = [];
  let cursor = 0n;

  function take(tenantId: TenantId, keyset: TrustedKeyset): TrustedKeyset {
    const known = current.get(tenantId);
    if (known && known.version >= keyset.version) return known;
    current.set(tenantId, keyset);
    if (known) for (const changed of listeners) changed(tenantId);
    return keyset;
  }

  async function refresh(tenantId: TenantId): Promise<TrustedKeyset> {
    const { keyset, rootPublicKey, rootTransitions } = await auth.getKeyset({ tenantId });
    if (!keyset) throw new Error("auth answered without a keyset");
    const transitions = rootTransitions.map((transition) => toBinary(SignedSchema, transition));
    return take(tenantId, trustKeyset(toBinary(SignedSchema, keyset), rootPublicKey, transitions, tenantId));
  }

  async function heard(objectId: string, bytes: Uint8Array): Promise<void> {
    if (!isId("tenant", objectId)) return;
    const known = current.get(objectId);
    if (!known) return;
    try {
      take(objectId, trustKeyset(bytes, known.rootPublicKey, known.rootTransitions, objectId));
    } catch (error) {
      if (await isSuperseded(objectId, known)) return;
      log.error({ tenantId: objectId, error: String(error) }, "a keyset from auth does not verify; it is ignored");
    }
  }

  /** True when auth itself has a newer keyset than the known one: it may be signed by another root key. */
  async function isSuperseded(tenantId: TenantId, known: TrustedKeyset): Promise<boolean> {
    try {
      return (await refresh(tenantId)).version > known.version;
    } catch (error) {
      if (error instanceof Refusal && error.kind === "unavailable") throw error;
      return false;
    }
  }

  async function watch(signal: AbortSignal): Promise<void> {
    try {
      for await (const { changes, revision } of auth.watchChanges({ since: cursor }, { signal })) {
        for (const { objectId, change } of changes) if (change.case === "keyset") await heard(objectId, change.value);
        cursor = revision;
      }
    } catch (error) {
      if (isCursorAhead(error)) cursor = 0n;
      throw error;
    }
  }

  return {
    get: async (tenantId) => current.get(tenantId) ?? refresh(tenantId),
    known: (tenantId) => current.get(tenantId),
    refresh,
    onChange: (changed) => void listeners.push(changed),
    run: (signal) => follow(log, "following the keysets of auth", signal, () => watch(signal)),
  };
}
