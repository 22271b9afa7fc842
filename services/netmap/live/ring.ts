import type { LoggedRevision } from "../store.ts";
import type { Entry } from "../domain/entry.ts";
import { reopenEntry } from "../domain/record.ts";
import type { EntryChange } from "../domain/step.ts";

interface Revision {
  readonly revision: bigint;
  readonly changes: () => readonly EntryChange[];
}

/** The last revisions of a map, from which a node that was away is told what it missed. */
export class Ring {
  readonly #keep: number;
  #revisions: Revision[] = [];

  /** @param keep revisions to keep at least. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  /** Adds the next revision. One that does not follow the last starts the ring anew. */
  push(revision: bigint, changes: () => readonly EntryChange[]): void {
    const last = this.#revisions.at(-1);
    if (last && last.revision + 1n !== revision) this.#revisions = [];
    this.#revisions.push({ revision, changes });
    if (this.#revisions.length > this.#keep * 2) this.#revisions = this.#revisions.slice(-this.#keep);
  }

  /** Every change after `position`, oldest first; undefined when the ring does not reach back so far. */
  since(position: bigint): EntryChange[] | undefined {
    const first = this.#revisions[0];
    if (!first || position + 1n < first.revision) return undefined;
    return this.#revisions.slice(Number(position + 1n - first.revision)).flatMap(({ changes }) => changes());
  }
}

/** The changes of a logged revision, decoded when first asked for. Their signatures were verified before they were sealed. */
export function lazyChanges(logged: LoggedRevision): () => readonly EntryChange[] {
  let decoded: EntryChange[] | undefined;
  const open = (kind: number, bytes: Uint8Array): Entry | undefined =>
    bytes.length > 0 ? reopenEntry(kind, bytes) : undefined;
  return () =>
    (decoded ??= logged.changes.map(({ objectId, kind, before, after }) => ({
      objectId,
      before: open(kind, before),
      after: open(kind, after),
    })));
}
