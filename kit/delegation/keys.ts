import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceName } from "../caller/index.ts";
import type { Clock } from "../clock/index.ts";
import { Refusal } from "../errors/index.ts";
import type { TenantId } from "../ids/index.ts";
import { rekeyRows, type SecretTable } from "../rekey/index.ts";
import { EXTEND_BELOW_MS } from "../sign/index.ts";
import type { DelegatedKeys } from "./index.ts";
import { replaceKeys, type RotationOptions } from "./rotation.ts";
import { type Delegated, isInForce, load, seedContext } from "./seeds.ts";
import { signingKey } from "./tables.ts";

/** Milliseconds between looks at what runs out: months are left then. */
const LOOK_MS = 3_600_000;

/** Times that a transaction is run with a newer key: a key is replaced once in a while. */
const ATTEMPTS = 3;

export interface DelegatedKeysOptions extends RotationOptions {
  readonly clock: Clock;
}

export function delegatedKeys(options: DelegatedKeysOptions): DelegatedKeys {
  const { clock, db, log } = options;
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

  async function present(tenantId: TenantId): Promise<Delegated> {
    kept.add(tenantId);
    const known = await (held.get(tenantId) ?? fetch(tenantId));
    return known.notAfter > clock.nowMs() ? known : fetch(tenantId);
  }

  /** A delegation that lasts is left alone; one that runs out stays in use while auth does not answer. */
  async function renew(tenantId: TenantId): Promise<void> {
    const known = await held.get(tenantId);
    if (known && known.notAfter - clock.nowMs() > EXTEND_BELOW_MS) return;
    const renewed = await load(options, tenantId);
    held.set(tenantId, Promise.resolve(renewed));
  }

  async function renewAll(signal: AbortSignal): Promise<void> {
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
  }

  return {
    get: async (tenantId) => (await present(tenantId)).key,
    refresh: async (tenantId) => (await fetch(tenantId)).key,
    async signing(tenantId, work) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const delegated = await present(tenantId);
        const done = await db.tenant(tenantId, async (tx) =>
          (await isInForce(tx, tenantId, delegated)) ? { value: await work(tx, delegated.key) } : undefined,
        );
        if (done) return done.value;
        held.delete(tenantId);
      }
      throw new Refusal("unavailable", "SIGNING_KEY_REPLACED", "the key that signs for the tenant is being replaced", {
        objectId: tenantId,
        remedy: "try again",
      });
    },
    keep: (tenantId) => void kept.add(tenantId),
    async run(signal) {
      const events = {
        replaced: (tenantId: TenantId, delegated: Delegated) => void held.set(tenantId, Promise.resolve(delegated)),
        ended: (tenantId: TenantId) => void held.delete(tenantId),
      };
      await Promise.all([renewAll(signal), replaceKeys(options, events, signal)]);
    },
  };
}

/** The wrapped signing keys of a service. */
export function signingKeySecrets(service: ServiceName): SecretTable {
  return {
    scopes: ["tenant"],
    rekey: (tx, rekey) =>
      rekeyRows(tx, signingKey, ["tenantId"], async ({ tenantId, wrappedSeed, nextWrappedSeed }) => {
        const context = seedContext(service, tenantId);
        return {
          wrappedSeed: await rekey.secret(context, wrappedSeed),
          nextWrappedSeed: nextWrappedSeed ? await rekey.secret(context, nextWrappedSeed) : undefined,
        };
      }),
  };
}
