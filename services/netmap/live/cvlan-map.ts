import { aloneMap, type Delta, deltaOf, fullMap, type Notes, replay } from "../domain/delta.ts";
import type { NodeEntry } from "../domain/entry.ts";
import { framesOf } from "../domain/frames.ts";
import type { HeadSettings } from "../domain/head-settings.ts";
import type { Scope } from "../domain/scope.ts";
import { type EntryChange, takeStep } from "../domain/step.ts";
import { Visibility } from "../domain/visibility.ts";
import { type LoggedRevision, MAX_LOG_BYTES, readLog, readMap, writeStanding } from "../store.ts";
import type { NetmapContext } from "./context.ts";
import type { Heads } from "./heads.ts";
import { Hints } from "./hints.ts";
import { loadMap } from "./load.ts";
import { nodeRevoked, notReady } from "./refusals.ts";
import { lazyChanges, Ring } from "./ring.ts";
import { Serving } from "./serving.ts";
import { Shared } from "./shared.ts";
import { Steps } from "./steps.ts";
import { Viewer } from "./viewer.ts";
import { Viewers } from "./viewers.ts";

/** Revisions read from the log at once: each may be a whole policy. */
const CATCH_UP = 16;

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
  readonly #viewers = new Viewers();
  readonly #steps: Steps;
  readonly #shared: Shared;
  readonly #rulesLost: () => void;
  readonly #serving: Serving;
  #visibility = new Visibility();
  #ring: Ring;
  #removed = new Set<string>();
  #epoch = 0n;
  #revision = 0n;
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
    this.#steps = new Steps(context.clock);
    this.#shared = new Shared(context, scope);
    this.#serving = new Serving(context, scope.tenantId);
    this.#ring = new Ring(context.config.log_revisions, MAX_LOG_BYTES);
  }

  get revision(): bigint {
    return this.#revision;
  }

  /** What is in force. */
  get settings(): HeadSettings {
    return this.#shared.settings;
  }

  get epoch(): bigint {
    return this.#epoch;
  }

  /** False while streams wait for a keyset. */
  get isServed(): boolean {
    return this.#serving.isReady;
  }

  /** For figures; `behindMs` is 0 when it is up to date, as far as is known. */
  get figures(): { readonly nodes: number; readonly viewers: number; readonly behindMs: number } {
    const since = this.#behindSince;
    const behindMs = since === undefined ? 0 : this.#context.clock.monotonicMs() - since;
    return { nodes: this.#visibility.nodeCount, viewers: this.#viewers.size, behindMs };
  }

  /** True when nodes are told no peers, by what is written or by what this worker has heard. */
  get isSuspended(): boolean {
    return this.#shared.isSuspended || this.#context.standings.isSuspended(this.scope.tenantId);
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
    const { loaded, pair } = await this.#serving.readToServe(() => loadMap(this.#context, this.scope));
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
    this.#shared.load(loaded.map, loaded.shared);
    this.#serving.begin(pair);
    this.#viewers.resync();
    this.#endRemoved();
    this.#steps.stepped();
    if (!loaded.hasRules) this.#rulesLost();
  }

  /** Writes down how the tenant stands, when this worker is the first to. */
  async settleStanding(): Promise<void> {
    const standing = this.#context.standings.of(this.scope.tenantId);
    if (!standing || standing.revision <= this.#shared.standingRevision) return;
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
      const newest = this.#context.keysets.known(this.scope.tenantId);
      while (await this.#catchUpOnce()) continue;
      if (newest && (await this.#serving.follow(newest))) this.#serve();
    }
    this.#behindSince = undefined;
  }

  /** Has every stream, and whoever waits for one, see what it is served with now. */
  #serve(): void {
    this.#steps.stepped();
    this.wakeAll();
  }

  /** Takes a newer keyset that another worker gave a node already. */
  async followKeyset(version: bigint): Promise<void> {
    if (version <= this.#serving.version) return;
    await this.#context.keysets.refresh(this.scope.tenantId);
    await this.catchUp();
  }

  /** @returns true when there may be more. */
  async #catchUpOnce(): Promise<boolean> {
    const { map, log } = await this.#context.db.tenant(this.scope.tenantId, async (tx) => {
      const row = await readMap(tx, this.scope);
      return { map: row, log: await readLog(tx, this.#context.keys, row, this.#revision, CATCH_UP) };
    });
    const hasNews = await this.#shared.catchUp(map);
    const shared = hasNews ? this.#shared.entries.map(({ bytes }) => bytes) : [];
    const records = log.flatMap(({ changes }) => changes.map(({ after }) => after)).filter(({ length }) => length > 0);
    if (await this.#serving.lacksKeysOf([...shared, ...records])) this.#isBehind = true;
    if (hasNews) this.wakeAll();
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
      (viewerId, objectId, held) => this.#viewers.note(viewerId, objectId, held),
    );
    for (const { before, after } of step) if (before?.kind === "node" && !after) this.#removed.add(before.id);
    this.#ring.push(logged, changes);
    this.#revision = revision;
    this.#endRemoved();
    this.#steps.stepped();
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
    this.#viewers.end((nodeId) => (this.#removed.has(nodeId) ? nodeRevoked(nodeId) : undefined));
  }

  /** Waits until a step makes `condition` true; false after `ms` or when the signal aborts. */
  until(condition: () => boolean, ms: number, signal: AbortSignal): Promise<boolean> {
    return this.#steps.until(condition, ms, signal);
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
    viewer.isAlone = this.#shared.isSuspended;
    this.#viewers.add(viewer);
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
    this.#viewers.delete(viewer);
  }

  /**
   * The frames that bring a viewer up to date; undefined when there is nothing for it and no head is due, or until it is served.
   * @throws Refusal when the stream was ended.
   */
  nextFrames(viewer: Viewer, isHeadDue: boolean): Uint8Array[] | undefined {
    viewer.check();
    const { pair } = this.#serving;
    if (!pair) return undefined;
    const { keyset, key } = pair;
    const node = this.#visibility.node(viewer.nodeId);
    if (!node) throw notReady(viewer.nodeId);
    const isAlone = this.isSuspended;
    const full = viewer.needsFull || viewer.isAlone !== isAlone;
    const notes = viewer.takeNotes();
    const delta = this.#delta(node, notes, full, isAlone);
    const hinted = new Set(isAlone ? [] : [...viewer.hinted, ...delta.nodes.map(({ id }) => id)]);
    const hints = this.#hints.of([...hinted].filter((id) => this.#mayHint(viewer.nodeId, id)));
    viewer.hinted.clear();
    const isNewer = full || keyset.version > viewer.keysetVersion;
    const shared = this.#shared.entries.filter(
      ({ id, revision }) => full || revision > (viewer.sharedRevisions.get(id) ?? 0n),
    );
    const { nodes, rules, removedNodes, removedRules } = delta;
    const isEmpty =
      !full &&
      !isNewer &&
      shared.length === 0 &&
      nodes.length + rules.length + removedNodes.length + removedRules.length + hints.length === 0;
    if (isEmpty && !isHeadDue) return undefined;
    const previous = full ? 0n : viewer.position;
    viewer.position = this.#revision;
    viewer.keysetVersion = keyset.version;
    for (const { id, revision } of shared) viewer.sharedRevisions.set(id, revision);
    viewer.needsFull = false;
    viewer.isAlone = isAlone;
    const formerHead = viewer.head;
    const head = this.#heads(key, this.#epoch, this.#revision, keyset.version, this.settings);
    if (viewer.continuesHeads) viewer.head = head;
    return framesOf({
      previous,
      revision: this.#revision,
      full,
      suspended: isAlone,
      head,
      formerHead,
      keyset: isNewer ? keyset.bytes : undefined,
      shared,
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

  /** Has every stream look whether there is something for it that is not of its own: the keyset, a shared record. */
  wakeAll(): void {
    this.#viewers.wake();
  }

  /** Takes endpoint reports that came since, and tells the streams of nodes that see the reporters. */
  async readHints(): Promise<void> {
    for (const nodeId of await this.#hints.read()) {
      const node = this.#visibility.node(nodeId);
      if (!node) continue;
      for (const id of this.#visibility.concernedBy(node)) {
        this.#viewers.hint(id, nodeId);
      }
    }
  }
}
