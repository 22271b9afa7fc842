import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "@connectrpc/connect";
import type { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { Clock } from "../clock/index.ts";
import { Refusal } from "../errors/index.ts";
import type { Logger } from "../log/index.ts";
import type { DenialJournal } from "./denial-journal.ts";
import type { LiveStreams } from "./live.ts";
import type { Standings } from "./standings.ts";

/** Which identities are refused. Follows auth, and knows when it has not heard from it. */
export interface Denials {
  /** True when credentials of the subject issued at the instant (seconds since the Unix epoch) are refused. */
  isDenied(subject: string, issuedAt: number): boolean;
  /** True when nothing came from auth for longer than the bound: an identity may have been denied without our knowing. */
  isStale(): boolean;
  /** Milliseconds since auth was last heard; infinite until it was. */
  lagMs(): number;
  /** Settles with the first word from auth: until then everything is stale. */
  readonly ready: Promise<void>;
  /** Takes a denial that was made in this process at once; the stream tells it to everybody a moment later. */
  deny(subject: string, issuedBefore: number): void;
  /** Calls the listener with each denial that comes in. */
  onDenied(listener: (subject: string) => void): void;
  /** Follows auth until the signal; comes back from any failure with the cursor where it was. Never rejects. */
  follow(signal: AbortSignal): Promise<void>;
}

export interface DenialsOptions {
  readonly auth: Client<typeof AuthService>;
  readonly live: LiveStreams;
  /** Is told how tenants stand. */
  readonly standings: Standings;
  readonly clock: Clock;
  readonly log: Logger;
  /** What was heard in former lives of this worker, and where it is kept. */
  readonly journal: DenialJournal;
  /** Milliseconds. */
  readonly lagMs: number;
}

const RETRY_MS = 500;

export function denials(options: DenialsOptions): Denials {
  const { auth, live, standings, clock, log, journal, lagMs } = options;
  const issuedBefore = new Map(journal.denied);
  const listeners: ((subject: string) => void)[] = [];
  const ready = Promise.withResolvers<void>();
  let heardAt: number | undefined;
  let cursor = 0n;

  function deny(subject: string, instant: number): void {
    if ((issuedBefore.get(subject) ?? 0) >= instant) return;
    issuedBefore.set(subject, instant);
    for (const listener of listeners) listener(subject);
    const cut = live.cut(subject, instant);
    log.info({ subject, streams_cut: cut }, "identity denied");
  }

  async function followOnce(signal: AbortSignal): Promise<void> {
    for await (const batch of auth.watchChanges({ since: cursor }, { signal })) {
      const told = new Map<string, number>();
      for (const { change } of batch.changes) {
        if (change.case === "tenant") standings.take(change.value);
        if (change.case !== "denial") continue;
        const instant = change.value.issuedBefore;
        if (instant) told.set(change.value.subject, Number(instant.seconds) + (instant.nanos > 0 ? 1 : 0));
      }
      for (const [subject, instant] of told) deny(subject, instant);
      await journal.keep(told);
      cursor = batch.revision;
      heardAt = clock.monotonicMs();
      ready.resolve();
    }
    throw new Error("auth ended the stream of denials");
  }

  /** A stream that is silent past the bound is dead, whatever the connection says: it is opened anew. */
  async function followWhileAlive(outer: AbortSignal): Promise<void> {
    const silence = new AbortController();
    const began = clock.monotonicMs();
    const timer = setInterval(
      () => {
        if (clock.monotonicMs() - Math.max(heardAt ?? began, began) > lagMs) silence.abort();
      },
      Math.max(50, lagMs / 5),
    );
    try {
      await followOnce(AbortSignal.any([outer, silence.signal]));
    } finally {
      clearInterval(timer);
    }
  }

  const silentMs = (): number => (heardAt === undefined ? Number.POSITIVE_INFINITY : clock.monotonicMs() - heardAt);
  const isStale = (): boolean => silentMs() > lagMs;

  return {
    isDenied: (subject, issuedAt) => issuedAt < (issuedBefore.get(subject) ?? 0),
    isStale,
    lagMs: silentMs,
    deny,
    ready: ready.promise,
    onDenied: (listener) => void listeners.push(listener),
    async follow(signal) {
      while (!signal.aborted) {
        try {
          await followWhileAlive(signal);
        } catch (error) {
          if (signal.aborted) return;
          // Auth was restored to an earlier state. What was denied since stays denied here; the rest is read anew.
          if (error instanceof Refusal && error.reason === "CURSOR_AHEAD") {
            cursor = 0n;
            standings.restart();
          }
          if (isStale()) log.warn({ error }, "auth is not heard: nodes are refused");
          else log.info({ error }, "the stream of denials ended and is opened again");
        }
        await sleep(RETRY_MS, undefined, { signal }).catch(() => {
          // Aborted: the loop ends.
        });
      }
    },
  };
}
