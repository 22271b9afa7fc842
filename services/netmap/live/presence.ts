import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Database } from "@cloudvlan/kit/db";
import type { TenantId } from "@cloudvlan/kit/ids";
import type { NetmapConfig } from "../config.ts";
import type { Scope } from "../domain/scope.ts";
import { beat, type StoredStream, writeEnded, writeOpened } from "../presence-store.ts";

/** Which nodes have a stream at this worker, written down for all workers. */
export interface Presence {
  /** Notes a stream that opened; disposed of when it ends. */
  opened(scope: Scope, nodeId: string, revision: bigint): Disposable;
  /** Notes a node that polls: it counts as having a stream until some time after its last poll. */
  polled(scope: Scope, nodeId: string, revision: bigint): void;
  /** Writes what opens and ends, and that this worker is alive, until the signal aborts; then that all have ended. */
  run(signal: AbortSignal): Promise<void>;
}

/** The streams of one node, of which the last that opened counts. */
interface Held extends StoredStream {
  readonly tenantId: TenantId;
  revision: bigint;
  streams: number;
  /** What is not written yet. */
  unwritten: "opened" | "ended" | "nothing";
}

function keyOf({ tenantId, nodeId }: { readonly tenantId: string; readonly nodeId: string }): string {
  return `${tenantId} ${nodeId}`;
}

/** Milliseconds in which openings and ends are gathered: a storm of nodes costs few transactions. */
const GATHER_MS = 100;
/** Milliseconds for which a poll counts as a stream: agents poll each 25 s. */
const POLL_MS = 75_000;
/** Rows of one statement. */
const BATCH = 500;
/** Beats that may be lost before a worker counts as dead. */
const BEATS = 3;

export function openPresence(
  { config, db }: { readonly config: NetmapConfig; readonly db: Database },
  pollMs = POLL_MS,
): Presence {
  const worker = randomUUID();
  const held = new Map<string, Held>();
  const unwritten = new Set<Held>();
  const polling = new Map<string, Disposable>();
  let wake: () => void = () => undefined;

  function note(entry: Held, what: "opened" | "ended"): void {
    // Until it is written that a stream opened, its end is part of that.
    if (entry.unwritten !== "opened") entry.unwritten = what;
    unwritten.add(entry);
    wake();
  }

  function opened({ tenantId, cvlanId }: Scope, nodeId: string, revision: bigint): Disposable {
    const key = keyOf({ tenantId, nodeId });
    const entry: Held = held.get(key) ?? { tenantId, cvlanId, nodeId, revision, streams: 0, unwritten: "nothing" };
    held.set(key, entry);
    entry.streams++;
    entry.revision = revision;
    note(entry, "opened");
    let isOpen = true;
    return {
      [Symbol.dispose]: () => {
        if (!isOpen) return;
        isOpen = false;
        entry.streams = Math.max(0, entry.streams - 1);
        if (entry.streams === 0) note(entry, "ended");
      },
    };
  }

  // Written each time: another worker may have answered the poll before, and may be dead.
  function polled(scope: Scope, nodeId: string, revision: bigint): void {
    const key = keyOf({ ...scope, nodeId });
    const former = polling.get(key);
    const stream = opened(scope, nodeId, revision);
    former?.[Symbol.dispose]();
    const timer = setTimeout(() => {
      polling.delete(key);
      stream[Symbol.dispose]();
    }, pollMs);
    timer.unref();
    polling.set(key, {
      [Symbol.dispose]: () => {
        clearTimeout(timer);
        stream[Symbol.dispose]();
      },
    });
  }

  async function flush(): Promise<void> {
    const byTenant = Map.groupBy(unwritten, ({ tenantId }) => tenantId);
    for (const [tenantId, entries] of byTenant) {
      for (let at = 0; at < entries.length; at += BATCH) await flushSome(tenantId, entries.slice(at, at + BATCH));
    }
  }

  async function flushSome(tenantId: TenantId, entries: readonly Held[]): Promise<void> {
    const rows = (wanted: (entry: Held) => boolean): StoredStream[] =>
      entries.filter(wanted).map(({ cvlanId, nodeId, revision }) => ({ cvlanId, nodeId, revision }));
    const fresh = rows((entry) => entry.unwritten === "opened" && entry.streams > 0);
    const brief = rows((entry) => entry.unwritten === "opened" && entry.streams === 0);
    const ended = rows((entry) => entry.unwritten === "ended");
    const before = entries.map((entry) => ({ entry, what: entry.unwritten }));
    for (const entry of entries) {
      entry.unwritten = "nothing";
      unwritten.delete(entry);
    }
    try {
      await db.tenant(tenantId, async (tx) => {
        if (ended.length > 0) await writeEnded(tx, tenantId, worker, ended);
        if (brief.length > 0) await writeOpened(tx, tenantId, worker, brief, true);
        if (fresh.length > 0) await writeOpened(tx, tenantId, worker, fresh, false);
      });
    } catch (error) {
      for (const { entry, what } of before) if (what !== "nothing") note(entry, what);
      throw error;
    }
    for (const entry of entries) if (entry.streams === 0 && entry.unwritten === "nothing") held.delete(keyOf(entry));
  }

  async function run(signal: AbortSignal): Promise<void> {
    const seconds = config.heartbeat_seconds;
    while (!signal.aborted) {
      await db.platform((tx) => beat(tx, worker, seconds * BEATS));
      await written(signal, seconds * 1000);
    }
    for (const poll of polling.values()) poll[Symbol.dispose]();
    for (const entry of held.values()) {
      entry.streams = 0;
      note(entry, "ended");
    }
    await flush();
    await db.platform((tx) => beat(tx, worker, 0));
  }

  /** Writes for so many milliseconds, or until the signal aborts. */
  async function written(signal: AbortSignal, ms: number): Promise<void> {
    const over = AbortSignal.any([signal, AbortSignal.timeout(ms)]);
    while (!over.aborted) {
      if (unwritten.size === 0) await woken(over);
      if (over.aborted) return;
      await flush();
      await sleep(GATHER_MS, undefined, { signal: over }).catch(() => undefined);
    }
  }

  async function woken(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      wake = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    wake = () => undefined;
  }

  return { opened, polled, run };
}
