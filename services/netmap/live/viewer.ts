import { Refusal } from "@cloudvlan/kit/errors";
import type { Entry } from "../domain/entry.ts";
import type { SharedId } from "../domain/record.ts";

/** One open stream: where it stands and what it is owed. What it is owed is a set, so a slow reader costs no queue. */
export class Viewer {
  readonly nodeId: string;
  /** Revision the node stands at once it applied what was sent. */
  position: bigint;
  keysetVersion: bigint;
  /** Revisions of the shared records it was sent; none before the first step. */
  readonly sharedRevisions = new Map<SharedId, bigint>();
  /** True for one that completes a head from the one before. */
  continuesHeads = false;
  /** Serialised `Signed` of the head that such a one was sent last. */
  head: Uint8Array | undefined;
  /** True when it was told a map without peers, for its tenant is suspended. */
  isAlone = false;
  /** True while the next step must be a full map. */
  needsFull: boolean;
  /** Nodes whose endpoints changed. */
  readonly hinted = new Set<string>();
  readonly #limit: number;
  #notes: Map<string, Entry | undefined>;
  #ended: Refusal | undefined;
  #wake: () => void = () => undefined;
  #isAwake = true;

  /**
   * @param notes what the node held of each object that changed since `position`; undefined for a full map.
   * @param limit objects it may be owed at most.
   */
  constructor(
    nodeId: string,
    position: bigint,
    keysetVersion: bigint,
    notes: Map<string, Entry | undefined> | undefined,
    limit: number,
  ) {
    this.nodeId = nodeId;
    this.position = position;
    this.keysetVersion = keysetVersion;
    this.needsFull = notes === undefined;
    this.#notes = notes ?? new Map();
    this.#limit = limit;
  }

  /** Keeps the first note about an object: that is what the node holds. */
  note(objectId: string, held: Entry | undefined): void {
    if (!this.needsFull && !this.#notes.has(objectId)) this.#notes.set(objectId, held);
    if (this.#notes.size > this.#limit) {
      this.end(
        new Refusal("exhausted", "READER_TOO_SLOW", "the stream fell too far behind", {
          remedy: "open the stream again from where you stand",
        }),
      );
    }
    this.wake();
  }

  hint(nodeId: string): void {
    this.hinted.add(nodeId);
    this.wake();
  }

  /** Makes the next step a full map: what the node holds can no longer be told. */
  resync(): void {
    this.needsFull = true;
    this.#notes = new Map();
    this.wake();
  }

  /** The notes so far; the viewer starts anew. */
  takeNotes(): Map<string, Entry | undefined> {
    const notes = this.#notes;
    this.#notes = new Map();
    return notes;
  }

  /** Ends the stream with this refusal; the first one counts. */
  end(refusal: Refusal): void {
    this.#ended ??= refusal;
    this.wake();
  }

  get isEnded(): boolean {
    return this.#ended !== undefined;
  }

  /** @throws Refusal when the stream was ended. */
  check(): void {
    if (this.#ended) throw this.#ended;
  }

  wake(): void {
    this.#isAwake = true;
    this.#wake();
  }

  /** Resolves when woken since the last wait, after `ms`, or when the signal aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#isAwake && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const finish = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", finish);
          resolve();
        };
        const timer = setTimeout(finish, Math.max(0, ms));
        signal.addEventListener("abort", finish, { once: true });
        this.#wake = finish;
      });
    }
    this.#wake = () => undefined;
    this.#isAwake = false;
  }
}
