import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Logger } from "../log/index.ts";
import { checkChannel } from "./channel.ts";
import { mapError } from "./errors.ts";
import { newLine } from "./line.ts";

type Wake = (payload: string | undefined) => void;

export interface Notifications {
  readonly listen: (channel: string, wake: Wake) => Promise<AsyncDisposable>;
  readonly close: () => Promise<void>;
}

/** Milliseconds between attempts to connect again, at most. */
const LONGEST_PAUSE = 5000;

/**
 * Notifications over one connection of their own, made when first needed and made again when lost; everybody is woken
 * then, because what was sent meanwhile is gone.
 */
export function notifications(connection: pg.ClientConfig, log: Logger): Notifications {
  const listeners = new Map<string, Set<Wake>>();
  const closed = new AbortController();
  /** The connection takes one statement at a time. */
  const inLine = newLine();
  let started: Promise<void> | undefined;
  let current: pg.Client | undefined;

  async function connect(): Promise<void> {
    const made = new pg.Client({ ...connection, connectionTimeoutMillis: 10_000 });
    made.on("error", (error) => log.warn({ reason: error.message }, "lost the connection that hears notifications"));
    made.on("notification", ({ channel, payload }) => {
      for (const wake of listeners.get(channel) ?? []) wake(payload);
    });
    try {
      await made.connect();
      // A channel added meanwhile is seen by this loop, one added after it finds the connection in `current`.
      for (const channel of listeners.keys()) await made.query(`listen ${channel}`);
    } catch (error) {
      await made.end();
      throw error;
    }
    current = made;
    made.once("end", () => {
      current = undefined;
      if (!closed.signal.aborted) void reconnect();
    });
  }

  async function reconnect(): Promise<void> {
    for (let attempt = 1; !closed.signal.aborted; attempt++) {
      try {
        await sleep(randomInt(50, Math.min(LONGEST_PAUSE, 100 * 2 ** attempt)), undefined, { signal: closed.signal });
        await connect();
        for (const wakes of listeners.values()) for (const wake of wakes) wake(undefined);
        return;
      } catch (error) {
        log.debug(
          { reason: error instanceof Error ? error.message : String(error) },
          "the database still does not answer",
        );
      }
    }
  }

  async function start(): Promise<void> {
    started ??= connect();
    try {
      await started;
    } catch (error) {
      started = undefined;
      throw error;
    }
  }

  async function listen(channel: string, wake: Wake): Promise<AsyncDisposable> {
    checkChannel(channel);
    const wakes = listeners.get(channel) ?? new Set();
    listeners.set(channel, wakes.add(wake));
    try {
      await start();
      await inLine(async () => current?.query(`listen ${channel}`));
    } catch (error) {
      wakes.delete(wake);
      throw mapError(error, "postgres");
    }
    return {
      [Symbol.asyncDispose]: async () => {
        wakes.delete(wake);
      },
    };
  }

  return {
    listen,
    close: async () => {
      closed.abort();
      await started?.catch(() => undefined);
      await current?.end();
    },
  };
}
