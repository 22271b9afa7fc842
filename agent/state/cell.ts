/** A value that others may wait on. Readers that lag see the latest value only. */
export interface Cell<T> {
  get(): T;
  set(value: T): void;
  /** The value now and after each change, until the signal aborts. */
  values(signal: AbortSignal): AsyncIterable<T>;
}

export function cell<T>(initial: T): Cell<T> {
  let value = initial;
  let version = 0;
  const waiting = new Set<() => void>();

  function changed(since: number, signal: AbortSignal): Promise<void> {
    if (version !== since || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      waiting.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      version += 1;
      for (const wake of waiting) wake();
    },
    async *values(signal) {
      while (!signal.aborted) {
        const seen = version;
        yield value;
        await changed(seen, signal);
      }
    },
  };
}

/**
 * The first value that is there.
 * @throws the signal's reason when it aborts before.
 */
export async function present<T>(source: Cell<T | undefined>, signal: AbortSignal): Promise<T> {
  for await (const value of source.values(signal)) {
    if (value !== undefined) return value;
  }
  signal.throwIfAborted();
  throw new Error("the signal ended the wait without being aborted");
}

/** Aborts as soon as the cell holds something else than `value`, or `signal` aborts. Watch it under a signal that ends. */
export function changedFrom<T>(source: Cell<T>, value: T, signal: AbortSignal): AbortSignal {
  const changed = new AbortController();
  const watch = async () => {
    for await (const now of source.values(signal)) {
      if (!Object.is(now, value)) break;
    }
    changed.abort();
  };
  void watch();
  return changed.signal;
}
