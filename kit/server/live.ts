/** Open streams by identity, so that revoking an identity cuts what it has open. */
export interface LiveStreams {
  /** How many are open. */
  readonly size: number;
  /** Registers a stream until disposed, under its identity and whatever that is of. `cut` must end it at once. */
  add(subjects: readonly string[], issuedAt: number, cut: () => void): Disposable;
  /** Ends every stream of the subject whose credential was issued before the instant (seconds since the Unix epoch). */
  cut(subject: string, issuedBefore: number): number;
}

interface Entry {
  readonly subjects: readonly string[];
  readonly issuedAt: number;
  readonly cut: () => void;
}

/** The streams of one process. */
export function liveStreams(): LiveStreams {
  const bySubject = new Map<string, Set<Entry>>();
  let size = 0;

  function remove(entry: Entry): void {
    let wasOpen = false;
    for (const subject of entry.subjects) {
      const entries = bySubject.get(subject);
      if (!entries?.delete(entry)) continue;
      wasOpen = true;
      if (entries.size === 0) bySubject.delete(subject);
    }
    if (wasOpen) size -= 1;
  }

  return {
    get size() {
      return size;
    },
    add(subjects, issuedAt, cut) {
      const entry: Entry = { subjects, issuedAt, cut };
      for (const subject of subjects) {
        let entries = bySubject.get(subject);
        if (!entries) bySubject.set(subject, (entries = new Set()));
        entries.add(entry);
      }
      size += 1;
      return { [Symbol.dispose]: () => remove(entry) };
    },
    cut(subject, issuedBefore) {
      const doomed = [...(bySubject.get(subject) ?? [])].filter((entry) => entry.issuedAt < issuedBefore);
      for (const entry of doomed) {
        remove(entry);
        entry.cut();
      }
      return doomed.length;
    },
  };
}
