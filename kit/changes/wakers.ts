import type { Database } from "../db/index.ts";

export interface Waker extends AsyncDisposable {
  /** Resolves when woken since the last wait ended, after `ms`, or when the signal aborts. */
  wait(ms: number): Promise<void>;
}

interface Sleeper {
  woken: boolean;
  wake: () => void;
}

/** Fans one notification channel out to any number of watchers by topic, the notification's payload. */
export function wakers(db: Database, channel: string): { join(topic: string, signal: AbortSignal): Promise<Waker> } {
  const sleepers = new Map<string, Set<Sleeper>>();
  let listener: Promise<AsyncDisposable> | undefined;

  function wake(topic: string | undefined): void {
    const concerned = topic === undefined ? [...sleepers.values()] : [sleepers.get(topic) ?? []];
    for (const set of concerned) for (const sleeper of set) sleeper.wake();
  }

  async function leave(topic: string, sleeper: Sleeper): Promise<void> {
    const set = sleepers.get(topic);
    set?.delete(sleeper);
    if (set?.size === 0) sleepers.delete(topic);
    if (sleepers.size > 0 || !listener) return;
    const last = listener;
    listener = undefined;
    await (await last)[Symbol.asyncDispose]();
  }

  async function join(topic: string, signal: AbortSignal): Promise<Waker> {
    const sleeper: Sleeper = {
      woken: false,
      wake: () => {
        sleeper.woken = true;
      },
    };
    const set = sleepers.get(topic) ?? new Set();
    sleepers.set(topic, set.add(sleeper));
    listener ??= db.listen(channel, wake);
    const joined = listener;
    try {
      await joined;
    } catch (error) {
      if (listener === joined) listener = undefined;
      set.delete(sleeper);
      if (set.size === 0) sleepers.delete(topic);
      throw error;
    }
    return {
      wait: (ms) => wait(sleeper, ms, signal),
      [Symbol.asyncDispose]: () => leave(topic, sleeper),
    };
  }

  return { join };
}

function wait(sleeper: Sleeper, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      sleeper.wake = () => {
        sleeper.woken = true;
      };
      sleeper.woken = false;
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish, { once: true });
    sleeper.wake = finish;
    if (sleeper.woken || signal.aborted) finish();
  });
}
