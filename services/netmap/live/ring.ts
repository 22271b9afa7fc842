import { type LoggedRevision, sizeOf } from "../store.ts";
import type { Entry } from "../domain/entry.ts";
import { reopenEntry } from "../domain/record.ts";
import type { EntryChange } from "../domain/step.ts";

interface Revision {
  readonly revision: bigint;
  readonly changes: () => readonly EntryChange[];
  readonly bytes: number;
}

/** The last revisions of a map, from which a node that was away is told what it missed. */
export class Ring {
  readonly #keep: number;
  readonly #maxBytes: number;
  #revisions: Revision[] = [];
  #bytes = 0;

  /**
   * @param keep revisions to keep at least, unless
   * @param maxBytes of records are reached before.
   */
  constructor(keep: number, maxBytes: number) {
    this.#keep = keep;
    this.#maxBytes = maxBytes;
  }

  /** Adds the next revision. One that does not follow the last starts the ring anew. */
  push(logged: LoggedRevision, changes: () => readonly EntryChange[]): void {
    const { revision } = logged;
    const last = this.#revisions.at(-1);
    if (last && last.revision + 1n !== revision) this.#keepLast(0);
    this.#revisions.push({ revision, changes, bytes: sizeOf(logged.changes) });
    this.#bytes += sizeOf(logged.changes);
    if (this.#revisions.length > this.#keep * 2) this.#keepLast(this.#keep);
    if (this.#bytes > this.#maxBytes) this.#keepLast(this.#within(this.#maxBytes / 2));
  }

  /** How many of the last revisions have no more than these bytes together. */
  #within(bytes: number): number {
    let sum = 0;
    const tooOld = this.#revisions.findLastIndex((each) => (sum += each.bytes) > bytes);
    return this.#revisions.length - 1 - tooOld;
  }

  #keepLast(revisions: number): void {
    this.#revisions = this.#revisions.slice(this.#revisions.length - revisions);
    this.#bytes = this.#revisions.reduce((sum, { bytes }) => sum + bytes, 0);
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
