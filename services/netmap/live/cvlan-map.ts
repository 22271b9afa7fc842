import { aloneMap, type Delta, deltaOf, fullMap, type Notes, replay } from "../domain/delta.ts";
import type { NodeEntry } from "../domain/entry.ts";
import { framesOf } from "../domain/frames.ts";
import { FIRST_SETTINGS, type HeadSettings } from "../domain/head-settings.ts";
import type { Scope } from "../domain/scope.ts";
import { type EntryChange, takeStep } from "../domain/step.ts";
import { Visibility } from "../domain/visibility.ts";
import { DNS, type DnsEntry } from "../domain/record.ts";
import {
  type LoggedRevision,
  MAX_LOG_BYTES,
  readLog,
  readMap,
  readRecords,
  settingsOf,
  type StoredMap,
  writeStanding,
} from "../store.ts";
import type { NetmapContext } from "./context.ts";
import type { Heads } from "./heads.ts";
import { Hints } from "./hints.ts";
import { loadMap, verifiedDns } from "./load.ts";
import { nodeRevoked, notReady, tooManyStreams } from "./refusals.ts";
import { lazyChanges, Ring } from "./ring.ts";
import { Viewer } from "./viewer.ts";

/** Revisions read from the log at once: each may be a whole policy. */
const CATCH_UP = 16;

/** Streams of one node on one worker. A node has one; a few more are those it has given up and we have not. */
const MAX_STREAMS = 4;

/** Where a node says it stands. */
export interface Position {
  readonly epoch: bigint;
  readonly revision: bigint;
  readonly keysetVersion: bigint;
}

/** The map of one cvlan in the memory of one worker, and the streams that are open on it. */
export class CvlanMap {
  readonly scope: Scope;
  readonly #context: NetmapContext;
  readonly #heads: Heads;
  readonly #hints: Hints;
  readonly #viewers = new Map<string, Set<Viewer>>();
  readonly #waiting = new Set<() => void>();
  readonly #rulesLost: () => void;
  #visibility = new Visibility();
  #ring: Ring;
  #removed = new Set<string>();
  #epoch = 0n;
  #revision = 0n;
  #dns: DnsEntry | undefined;
  #dnsRevision = 0n;
  #settings: HeadSettings = FIRST_SETTINGS;
  #areSettingsBroken = false;
  #isSuspended = false;
  #standingRevision = 0n;
  #hasRules = true;
  #catching: Promise<void> | undefined;
  #isBehind = false;
  #behindSince: number | undefined;

  /** @param rulesLost called when the tables do not hold the rules of a signed manifest: policy has to send them again. */
  constructor(context: NetmapContext, scope: Scope, heads: Heads, rulesLost: () => void) {
    this.scope = scope;
    this.#rulesLost = rulesLost;
    this.#context = context;
    this.#heads = heads;
    this.#hints = new Hints(context, scope);
    this.#ring = new Ring(context.config.log_revisions, MAX_LOG_BYTES);
  }

  get revision(): bigint {
    return this.#revision;
  }

  /** What is in force. */
  get settings(): HeadSettings {
    return this.#settings;
  }

  get epoch(): bigint {
    return this.#epoch;
  }

  /** For figures; `behindMs` is 0 when it is up to date, as far as is known. */
  get figures(): { readonly nodes: number; readonly viewers: number; readonly behindMs: number } {
    const since = this.#behindSince;
    const behindMs = since === undefined ? 0 : this.#context.clock.monotonicMs() - since;
    return { nodes: this.#visibility.nodeCount, viewers: this.#viewers.size, behindMs };
  }

  /** True when nodes are told no peers, by what is written or by what this worker has heard. */
  get isSuspended(): boolean {
    return this.#isSuspended || this.#context.standings.isSuspended(this.scope.tenantId);
  }

  /** Who is in the map and who sees whom; brought up to date in place. */
  get visibility(): Visibility {
    return this.#visibility;
  }

  /** Where these nodes say they can be reached: serialised `EndpointHint`s. */
  hintsOf(nodeIds: readonly string[]): Uint8Array[] {
    return this.#hints.of(nodeIds);
  }

  /** True when the node is a member by the map as this worker has it. */
  has(nodeId: string): boolean {
    return this.#visibility.node(nodeId) !== undefined;
  }

  /** True when the node was a member and is no more. */
  wasRemoved(nodeId: string): boolean {
    return this.#removed.has(nodeId);
  }

  /** Reads the map from the tables, in place of what is in memory. */
  async load(): Promise<void> {
    const loaded = await loadMap(this.#context, this.scope);
    const visibility = new Visibility();
    for (const entry of loaded.entries) visibility.replace(entry.id, entry);
    const ring = new Ring(this.#context.config.log_revisions, MAX_LOG_BYTES);
    for (const logged of loaded.log) ring.push(logged, lazyChanges(logged));
    await this.#hints.read();
    this.#visibility = visibility;
    this.#ring = ring;
    this.#removed = new Set(loaded.removedNodes);
    this.#hasRules = loaded.hasRules;
    this.#epoch = loaded.epoch;
    this.#revision = loaded.revision;
    this.#dns = loaded.dns;
    this.#dnsRevision = loaded.map.dnsRevision;
    this.#isSuspended = loaded.map.suspended;
    this.#standingRevision = loaded.map.standingRevision;
    this.#takeSettings(loaded.map);
    for (const viewers of this.#viewers.values()) for (const viewer of viewers) viewer.resync();
    this.#endRemoved();
    this.#stepped();
    if (!loaded.hasRules) this.#rulesLost();
  }

  /** Writes down how the tenant stands, when this worker is the first to. */
  async settleStanding(): Promise<void> {
    const standing = this.#context.standings.of(this.scope.tenantId);
    if (!standing || standing.revision <= this.#standingRevision) return;
    await this.#context.db.tenant(this.scope.tenantId, async (tx) =>
      writeStanding(tx, await readMap(tx, this.scope, "update"), standing),
    );
    await this.catchUp();
  }

  /** Takes what other transactions, here or on another worker, wrote since. Calls that come meanwhile share one more round. */
  async catchUp(): Promise<void> {
    this.#isBehind = true;
    this.#behindSince ??= this.#context.clock.monotonicMs();
    this.#catching ??= this.#catchUpRounds().finally(() => (this.#catching = undefined));
    return this.#catching;
  }

  async #catchUpRounds(): Promise<void> {
    while (this.#isBehind) {
      this.#isBehind = false;
      while (await this.#catchUpOnce()) continue;
    }
    this.#behindSince = undefined;
  }

  /** @returns true when there may be more. */
  async #catchUpOnce(): Promise<boolean> {
    const { map, log } = await this.#context.db.tenant(this.scope.tenantId, async (tx) => {
      const row = await readMap(tx, this.scope);
      return { map: row, log: await readLog(tx, this.#context.keys, row, this.#revision, CATCH_UP) };
    });
    this.#takeSettings(map);
    this.#standingRevision = map.standingRevision;
    if (map.dnsRevision !== this.#dnsRevision) await this.#readDns(map.dnsRevision);
    if (map.epoch === this.#epoch && map.revision === this.#revision) return false;
    const follows = map.epoch === this.#epoch && log[0]?.revision === this.#revision + 1n;
    if (!follows || !log.every((logged) => this.#take(logged))) {
      this.#context.log.info(
        { ...this.scope, revision: String(this.#revision) },
        "the log does not continue the map; it is read anew",
      );
      await this.load();
      return false;
    }
    return this.#revision < map.revision;
  }

  /** What is in force from the next head on. */
  #takeSettings(map: StoredMap): void {
    const settings = settingsOf(this.#context.keys, map);
    const isBroken = !settings && map.settingsSeal.length > 0;
    if (isBroken && !this.#areSettingsBroken) {
      this.#context.log.error({ ...this.scope }, "the stored settings do not verify; the former ones stay in force");
    }
    this.#areSettingsBroken = isBroken;
    this.#settings = settings ?? this.#settings;
  }

  async #readDns(dnsRevision: bigint): Promise<void> {
    const { tenantId } = this.scope;
    const rows = await this.#context.db.tenant(tenantId, (tx) => readRecords(tx, this.scope, [DNS]));
    const keyset = await this.#context.keysets.refresh(tenantId);
    this.#dns = verifiedDns(this.#context, this.scope, keyset, rows.values()) ?? this.#dns;
    this.#dnsRevision = dnsRevision;
    this.wakeAll();
  }

  /** @returns false when the revision does not continue what is in memory. */
  #take(logged: LoggedRevision): boolean {
    const { revision } = logged;
    const changes = lazyChanges(logged);
    const step = changes();
    if (revision !== this.#revision + 1n || !step.every((change) => this.#continues(change))) return false;
    takeStep(
      this.#visibility,
      step,
      (nodeId) => this.#viewers.has(nodeId),
      (viewerId, objectId, held) => {
        for (const viewer of this.#viewers.get(viewerId) ?? []) viewer.note(objectId, held);
      },
    );
    for (const { before, after } of step) if (before?.kind === "node" && !after) this.#removed.add(before.id);
    this.#ring.push(logged, changes);
    this.#revision = revision;
    this.#endRemoved();
    this.#stepped();
    return true;
  }

  #continues({ objectId, before, after }: EntryChange): boolean {
    // Rules that were left out are not in memory: when they are mended, all of them come from the tables.
    if (!this.#hasRules && (before ?? after)?.kind === "rule") return false;
    const current = this.#visibility.entry(objectId);
    if (!current || !before) return current === before;
    return Buffer.compare(current.bytes, before.bytes) === 0;
  }

  #endRemoved(): void {
    for (const [nodeId, viewers] of this.#viewers) {
      if (this.#removed.has(nodeId)) for (const viewer of viewers) viewer.end(nodeRevoked(nodeId));
    }
  }

  #stepped(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Waits until a step makes `condition` true; false after `ms` or when the signal aborts. */
  async until(condition: () => boolean, ms: number, signal: AbortSignal): Promise<boolean> {
    const ends = this.#context.clock.monotonicMs() + ms;
    while (!condition()) {
      const rest = ends - this.#context.clock.monotonicMs();
      if (rest <= 0 || signal.aborted) return false;
      await new Promise<void>((resolve) => {
        const finish = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", finish);
          this.#waiting.delete(finish);
          resolve();
        };
        const timer = setTimeout(finish, rest);
        signal.addEventListener("abort", finish, { once: true });
        this.#waiting.add(finish);
      });
    }
    return true;
  }

  /**
   * Opens a stream for a member. What it missed is told exactly when the log reaches back to where it stands and what
   * it holds can be judged; otherwise it gets a full map.
   */
  attach(nodeId: string, position: Position): Viewer {
    const viewer = new Viewer(
      nodeId,
      position.revision,
      position.keysetVersion,
      this.#resume(nodeId, position),
      this.#context.config.pending_objects,
    );
    viewer.isAlone = this.#isSuspended;
    const viewers = this.#viewers.get(nodeId) ?? new Set();
    const [oldest, ...others] = [...viewers].filter(({ isEnded }) => !isEnded);
    if (oldest && others.length + 1 >= MAX_STREAMS) oldest.end(tooManyStreams(nodeId, MAX_STREAMS));
    this.#viewers.set(nodeId, viewers.add(viewer));
    const node = this.#visibility.node(nodeId);
    if (node && !viewer.needsFull) for (const peer of this.#visibility.peersOf(node)) viewer.hinted.add(peer.id);
    return viewer;
  }

  #resume(nodeId: string, position: Position): ReturnType<typeof replay> {
    const node = this.#visibility.node(nodeId);
    if (!node || position.revision === 0n || position.epoch !== this.#epoch || position.revision > this.#revision)
      return undefined;
    if (position.revision === this.#revision) return new Map();
    const missed = this.#ring.since(position.revision);
    return missed && replay(this.#visibility, node, missed);
  }

  detach(viewer: Viewer): void {
    const viewers = this.#viewers.get(viewer.nodeId);
    viewers?.delete(viewer);
    if (viewers?.size === 0) this.#viewers.delete(viewer.nodeId);
  }

  /**
   * The frames that bring a viewer up to date; undefined when there is nothing for it and no head is due.
   * @throws Refusal when the stream was ended.
   */
  nextFrames(viewer: Viewer, isHeadDue: boolean): Uint8Array[] | undefined {
    viewer.check();
    const node = this.#visibility.node(viewer.nodeId);
    const keyset = this.#context.keysets.known(this.scope.tenantId);
    if (!node || !keyset) throw notReady(viewer.nodeId);
    const isAlone = this.isSuspended;
    const full = viewer.needsFull || viewer.isAlone !== isAlone;
    const notes = viewer.takeNotes();
    const delta = this.#delta(node, notes, full, isAlone);
    const hinted = new Set(isAlone ? [] : [...viewer.hinted, ...delta.nodes.map(({ id }) => id)]);
    const hints = this.#hints.of([...hinted].filter((id) => this.#mayHint(viewer.nodeId, id)));
    viewer.hinted.clear();
    const isNewer = full || keyset.version > viewer.keysetVersion;
    const dns = this.#dns && (full || this.#dns.record.recordRevision > viewer.dnsRevision) ? this.#dns : undefined;
    const { nodes, rules, removedNodes, removedRules } = delta;
    const isEmpty =
      !full &&
      !isNewer &&
      !dns &&
      nodes.length + rules.length + removedNodes.length + removedRules.length + hints.length === 0;
    if (isEmpty && !isHeadDue) return undefined;
    const previous = full ? 0n : viewer.position;
    viewer.position = this.#revision;
    viewer.keysetVersion = keyset.version;
    viewer.dnsRevision = dns?.record.recordRevision ?? viewer.dnsRevision;
    viewer.needsFull = false;
    viewer.isAlone = isAlone;
    const formerHead = viewer.head;
    const head = this.#heads(this.#epoch, this.#revision, keyset.version, this.#settings);
    if (viewer.continuesHeads) viewer.head = head;
    return framesOf({
      previous,
      revision: this.#revision,
      full,
      suspended: isAlone,
      head,
      formerHead,
      keyset: isNewer ? keyset.bytes : undefined,
      dns: dns?.bytes,
      rootTransitions: isNewer ? keyset.rootTransitions : [],
      delta,
      hints,
    });
  }

  #delta(node: NodeEntry, notes: Notes, full: boolean, isAlone: boolean): Delta {
    if (full) return isAlone ? aloneMap(node) : fullMap(this.#visibility, node);
    const own = isAlone ? new Map([...notes].filter(([objectId]) => objectId === node.id)) : notes;
    return deltaOf(this.#visibility, node, own);
  }

  #mayHint(viewerId: string, nodeId: string): boolean {
    const viewer = this.#visibility.node(viewerId);
    const peer = this.#visibility.node(nodeId);
    return viewer !== undefined && peer !== undefined && viewerId !== nodeId && this.#visibility.sees(viewer, peer);
  }

  /** Has every stream look whether there is something for it that is not of its own: the keyset, the DNS record. */
  wakeAll(): void {
    for (const viewers of this.#viewers.values()) for (const viewer of viewers) viewer.wake();
  }

  /** Takes endpoint reports that came since, and tells the streams of nodes that see the reporters. */
  async readHints(): Promise<void> {
    for (const nodeId of await this.#hints.read()) {
      const node = this.#visibility.node(nodeId);
      if (!node) continue;
      for (const id of this.#visibility.concernedBy(node)) {
        for (const viewer of this.#viewers.get(id) ?? []) viewer.hint(nodeId);
      }
    }
  }
}
