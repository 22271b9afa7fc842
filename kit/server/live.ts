/** Open streams by identity, so that revoking an identity cuts what it has open. */
export interface LiveStreams {
  /** How many are open. */
  readonly size: number;
  /** Registers a stream until disposed. `cut` must end it at once. */
  add(subject: string, issuedAt: number, cut: () => void): Disposable;
  /** Ends every stream of the subject whose credential was issued before the instant (seconds since the Unix epoch). */
  cut(subject: string, issuedBefore: number): number;
}

interface Entry {
  readonly issuedAt: number;
  readonly cut: () => void;
}

/** The streams of one process. */
export function liveStreams(): LiveStreams {
  const bySubject = new Map<string, Set<Entry>>();
  let size = 0;

  function remove(subject: string, entry: Entry): void {
    const entries = bySubject.get(subject);
    if (!entries?.delete(entry)) return;
    size -= 1;
    if (entries.size === 0) bySubject.delete(subject);
  }

  return {
    get size() {
      return size;
    },
    add(subject, issuedAt, cut) {
      const entry: Entry = { issuedAt, cut };
      let entries = bySubject.get(subject);
      if (!entries) bySubject.set(subject, (entries = new Set()));
      entries.add(entry);
      size += 1;
      return { [Symbol.dispose]: () => remove(subject, entry) };
    },
    cut(subject, issuedBefore) {
      const doomed = [...(bySubject.get(subject) ?? [])].filter((entry) => entry.issuedAt < issuedBefore);
      for (const entry of doomed) {
        remove(subject, entry);
        entry.cut();
      }
      return doomed.length;
    },
  };
}
