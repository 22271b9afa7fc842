import type { TenantId } from "../ids/index.ts";
import type { SigningKey } from "../sign/index.ts";

export { delegatedKeys, type DelegatedKeysOptions, signingKeySecrets } from "./keys.ts";

/**
 * The keys with which a service signs for tenants, one a tenant: made by the service, kept wrapped in its own schema,
 * delegated by auth before their first use and for a year at a time.
 */
export interface DelegatedKeys {
  /**
   * The key of a tenant, made when there is none. To be asked for outside of transactions: it may call auth.
   * @throws Refusal of auth, or Error when the stored seed or auth's answer is not what it must be.
   */
  get(tenantId: TenantId): Promise<SigningKey>;
  /**
   * Has `run` look after the tenant's key although nobody signs with it now: what it signed is believed only while its
   * delegation lasts.
   */
  keep(tenantId: TenantId): void;
  /** Renews delegations that run out, until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}
