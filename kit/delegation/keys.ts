import { setTimeout as sleep } from "node:timers/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Client } from "@connectrpc/connect";
import { eq } from "drizzle-orm";
import type { ServiceName } from "../caller/index.ts";
import type { Clock } from "../clock/index.ts";
import type { Database } from "../db/index.ts";
import type { TenantId } from "../ids/index.ts";
import { Refusal } from "../errors/index.ts";
import type { KeyProvider } from "../keys/index.ts";
import type { Logger } from "../log/index.ts";
import { rekeyRows, type SecretTable } from "../rekey/index.ts";
import { EXTEND_BELOW_MS, newSigningSeed, openKeyset, type SigningKey, signingKeyFromSeed } from "../sign/index.ts";
import type { DelegatedKeys } from "./index.ts";
import { signingKey } from "./tables.ts";

/** Milliseconds between looks at what runs out: months are left then. */
const LOOK_MS = 3_600_000;

export interface DelegatedKeysOptions {
  readonly service: ServiceName;
  /** The only one that auth delegates to the service. */
  readonly role: KeyRole;
  readonly db: Database;
  readonly keys: KeyProvider;
  readonly auth: Client<typeof AuthService>;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Delegated {
  readonly key: SigningKey;
  /** Milliseconds since the Unix epoch. */
  readonly notAfter: number;
}

export function delegatedKeys(options: DelegatedKeysOptions): DelegatedKeys {
  const { clock, log } = options;
  const held = new Map<TenantId, Promise<Delegated>>();
  const kept = new Set<TenantId>();

  /** Calls that come meanwhile share one answer; a failure is forgotten. */
  async function fetch(tenantId: TenantId): Promise<Delegated> {
    const fetching = load(options, tenantId);
    held.set(tenantId, fetching);
    try {
      return await fetching;
    } catch (error) {
      if (held.get(tenantId) === fetching) held.delete(tenantId);
      throw error;
    }
  }

  /** A delegation that lasts is left alone; one that runs out stays in use while auth does not answer. */
  async function renew(tenantId: TenantId): Promise<void> {
    const known = await held.get(tenantId);
    if (known && known.notAfter - clock.nowMs() > EXTEND_BELOW_MS) return;
    const renewed = await load(options, tenantId);
    held.set(tenantId, Promise.resolve(renewed));
  }

  return {
    async get(tenantId) {
      kept.add(tenantId);
      const known = await (held.get(tenantId) ?? fetch(tenantId));
      return known.notAfter > clock.nowMs() ? known.key : (await fetch(tenantId)).key;
    },
    keep: (tenantId) => void kept.add(tenantId),
    async run(signal) {
      while (!signal.aborted) {
        for (const tenantId of kept) {
          if (signal.aborted) return;
          try {
            await renew(tenantId);
          } catch (error) {
            if (error instanceof Refusal && error.reason === "TENANT_NOT_FOUND") {
              kept.delete(tenantId);
              held.delete(tenantId);
              continue;
            }
            log.warn(
              { error, object_id: tenantId },
              "the delegation of a signing key was not renewed; it is tried again",
            );
          }
        }
        await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
      }
    },
  };
}

async function load(options: DelegatedKeysOptions, tenantId: TenantId): Promise<Delegated> {
  const { service, role, db, keys, auth } = options;
  const context = contextOf(service, tenantId);
  const seed = await keys.unwrap(context, await wrappedSeed(db, tenantId, await keys.wrap(context, newSigningSeed())));
  const { publicKey } = signingKeyFromSeed("", seed);
  const { keyId, keyset, rootPublicKey } = await auth.delegateKey({ tenantId, role, publicKey });
  if (!keyset) throw new Error("auth answered without a keyset");
  const delegated = openKeyset(rootPublicKey, tenantId, keyset).keys.find((key) => key.keyId === keyId);
  if (delegated?.role !== role || !delegated.notAfter || !Buffer.from(delegated.publicKey).equals(publicKey))
    throw new Error("auth answered with a keyset in which the key is not delegated");
  return { key: signingKeyFromSeed(keyId, seed), notAfter: timestampMs(delegated.notAfter) };
}

/** The seed that is stored; `fresh` when there is none. */
function wrappedSeed(db: Database, tenantId: TenantId, fresh: Uint8Array): Promise<Uint8Array> {
  return db.tenant(tenantId, async (tx) => {
    await tx.insert(signingKey).values({ tenantId, wrappedSeed: fresh }).onConflictDoNothing();
    const [row] = await tx.select().from(signingKey).where(eq(signingKey.tenantId, tenantId));
    if (!row) throw new Error("the signing key was not stored");
    return row.wrappedSeed;
  });
}

function contextOf(service: ServiceName, tenantId: string): string {
  return `${service}/signing-key/${tenantId}`;
}

/** The wrapped signing keys of a service. */
export function signingKeySecrets(service: ServiceName): SecretTable {
  return {
    scopes: ["tenant"],
    rekey: (tx, rekey) =>
      rekeyRows(tx, signingKey, ["tenantId"], async ({ tenantId, wrappedSeed }) => ({
        wrappedSeed: await rekey.secret(contextOf(service, tenantId), wrappedSeed),
      })),
  };
}
