import { FIRST_SETTINGS, type HeadSettings } from "../domain/head-settings.ts";
import type { SharedEntry, SharedId } from "../domain/record.ts";
import type { Scope } from "../domain/scope.ts";
import { sharedRevisions } from "../shared-store.ts";
import { readRecords, settingsOf, type StoredMap } from "../store.ts";
import type { NetmapContext } from "./context.ts";
import { verifiedShared } from "./load.ts";

/** What all nodes of a cvlan are told alike, beside the log and its revisions: settings in heads, the shared records, and how the tenant stands. */
export class Shared {
  readonly #context: NetmapContext;
  readonly #scope: Scope;
  #settings: HeadSettings = FIRST_SETTINGS;
  #areSettingsBroken = false;
  readonly #entries = new Map<SharedId, SharedEntry>();
  /** As the map's row has them; a record that does not verify is read once. */
  #revisions = new Map<SharedId, bigint>();
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

  get entries(): SharedEntry[] {
    return [...this.#entries.values()];
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
  load(map: StoredMap, shared: readonly SharedEntry[]): void {
    this.#takeSettings(map);
    this.#entries.clear();
    for (const entry of shared) this.#entries.set(entry.id, entry);
    this.#revisions = sharedRevisions(map);
    this.#isSuspended = map.suspended;
    this.#standingRevision = map.standingRevision;
  }

  /** Takes what changed since. @returns true when there is another record to tell */
  async catchUp(map: StoredMap): Promise<boolean> {
    this.#takeSettings(map);
    this.#standingRevision = map.standingRevision;
    const revisions = sharedRevisions(map);
    const changed = [...revisions].filter(([id, revision]) => revision !== this.#revisions.get(id)).map(([id]) => id);
    if (changed.length === 0) return false;
    const { tenantId } = this.#scope;
    const rows = await this.#context.db.tenant(tenantId, (tx) => readRecords(tx, this.#scope, changed));
    const keyset = await this.#context.keysets.refresh(tenantId);
    for (const entry of verifiedShared(this.#context, this.#scope, keyset, rows.values())) {
      this.#entries.set(entry.id, entry);
    }
    this.#revisions = revisions;
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
