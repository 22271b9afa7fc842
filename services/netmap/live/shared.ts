import { FIRST_SETTINGS, type HeadSettings } from "../domain/head-settings.ts";
import { DNS, type DnsEntry } from "../domain/record.ts";
import type { Scope } from "../domain/scope.ts";
import { readRecords, settingsOf, type StoredMap } from "../store.ts";
import type { NetmapContext } from "./context.ts";
import { verifiedDns } from "./load.ts";

/** What all nodes of a cvlan are told alike, beside the log and its revisions: settings in heads, the DNS record, and how the tenant stands. */
export class Shared {
  readonly #context: NetmapContext;
  readonly #scope: Scope;
  #settings: HeadSettings = FIRST_SETTINGS;
  #areSettingsBroken = false;
  #dns: DnsEntry | undefined;
  #dnsRevision = 0n;
  #isSuspended = false;
  #standingRevision = 0n;

  constructor(context: NetmapContext, scope: Scope) {
    this.#context = context;
    this.#scope = scope;
  }

  /** In force from the next head on. */
  get settings(): HeadSettings {
    return this.#settings;
  }

  get dns(): DnsEntry | undefined {
    return this.#dns;
  }

  /** True when it is written that nodes are told no peers. */
  get isSuspended(): boolean {
    return this.#isSuspended;
  }

  /** Of how the tenant stands, as it is written. */
  get standingRevision(): bigint {
    return this.#standingRevision;
  }

  /** Takes what was read with the whole map. */
  load(map: StoredMap, dns: DnsEntry | undefined): void {
    this.#takeSettings(map);
    this.#dns = dns;
    this.#dnsRevision = map.dnsRevision;
    this.#isSuspended = map.suspended;
    this.#standingRevision = map.standingRevision;
  }

  /** Takes what changed since. @returns true when there is another DNS record to tell */
  async catchUp(map: StoredMap): Promise<boolean> {
    this.#takeSettings(map);
    this.#standingRevision = map.standingRevision;
    if (map.dnsRevision === this.#dnsRevision) return false;
    const { tenantId } = this.#scope;
    const rows = await this.#context.db.tenant(tenantId, (tx) => readRecords(tx, this.#scope, [DNS]));
    const keyset = await this.#context.keysets.refresh(tenantId);
    this.#dns = verifiedDns(this.#context, this.#scope, keyset, rows.values()) ?? this.#dns;
    this.#dnsRevision = map.dnsRevision;
    return true;
  }

  #takeSettings(map: StoredMap): void {
    const settings = settingsOf(this.#context.keys, map);
    const isBroken = !settings && map.settingsSeal.length > 0;
    if (isBroken && !this.#areSettingsBroken) {
      this.#context.log.error({ ...this.#scope }, "the stored settings do not verify; the former ones stay in force");
    }
    this.#areSettingsBroken = isBroken;
    this.#settings = settings ?? this.#settings;
  }
}
