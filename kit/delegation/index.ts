import type { Tx } from "../db/index.ts";
import type { TenantId } from "../ids/index.ts";
import type { RoleKey } from "../sign/index.ts";

export { delegatedKeys, type DelegatedKeysOptions, signingKeySecrets } from "./keys.ts";
export { isSignedByOther } from "./records.ts";
export type { Resigned } from "./rotation.ts";

/**
 * The keys with which a service signs for tenants, one a tenant: made by the service, kept wrapped in its own schema,
 * delegated by auth before their first use and for a year at a time, and replaced when auth says so.
 */
export interface DelegatedKeys {
  /**
   * The key of a tenant, made when there is none. To be asked for outside of transactions: it may call auth. Another worker
   * may be replacing it: what is stored is signed in `signing`.
   * @throws Refusal of auth, or Error when the stored seed or auth's answer is not what it must be.
   */
  get(tenantId: TenantId): Promise<RoleKey>;
  /** The same, read anew: somebody saw a keyset that the known one is not in. */
  refresh(tenantId: TenantId): Promise<RoleKey>;
  /**
   * Runs `work` in a transaction of the tenant, with the key that is in force until it commits: nothing is signed with a key
   * after another worker put a new one in its place. As with `Database.tenant`, `work` may run more than once.
   * @throws what `get` and `Database.tenant` throw; Refusal `unavailable` when the key is replaced again and again.
   */
  signing<T>(tenantId: TenantId, work: (tx: Tx, key: RoleKey) => Promise<T>): Promise<T>;
  /**
   * Has `run` look after the tenant's key although nobody signs with it now: what it signed is believed only while its
   * delegation lasts.
   */
  keep(tenantId: TenantId): void;
  /** Renews delegations that run out, and replaces keys as auth is asked to, until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}
