import type { Refusal } from "@cloudvlan/kit/errors";
import type { Entry } from "../domain/entry.ts";
import { tooManyStreams } from "./refusals.ts";
import type { Viewer } from "./viewer.ts";

/** Streams of one node on one worker. A node has one; a few more are those it has given up and we have not. */
const MAX_STREAMS = 4;

/** The streams that are open on one map, by node. */
export class Viewers {
  readonly #byNode = new Map<string, Set<Viewer>>();

  /** Nodes with a stream. */
  get size(): number {
    return this.#byNode.size;
  }

  has(nodeId: string): boolean {
    return this.#byNode.has(nodeId);
  }

  /** Takes a stream in; the oldest of a node that has too many ends. */
  add(viewer: Viewer): void {
    const { nodeId } = viewer;
    const viewers = this.#byNode.get(nodeId) ?? new Set();
    const [oldest, ...others] = [...viewers].filter(({ isEnded }) => !isEnded);
    if (oldest && others.length + 1 >= MAX_STREAMS) oldest.end(tooManyStreams(nodeId, MAX_STREAMS));
    this.#byNode.set(nodeId, viewers.add(viewer));
  }

  delete(viewer: Viewer): void {
    const viewers = this.#byNode.get(viewer.nodeId);
    viewers?.delete(viewer);
    if (viewers?.size === 0) this.#byNode.delete(viewer.nodeId);
  }

  /** Notes for the streams of a node what it held of an object that changed. */
  note(nodeId: string, objectId: string, held: Entry | undefined): void {
    for (const viewer of this.#of(nodeId)) viewer.note(objectId, held);
  }

  /** Tells the streams of a node that another's endpoints changed. */
  hint(nodeId: string, otherId: string): void {
    for (const viewer of this.#of(nodeId)) viewer.hint(otherId);
  }

  /** Ends the streams of nodes for which there is a refusal. */
  end(refusalOf: (nodeId: string) => Refusal | undefined): void {
    for (const nodeId of this.#byNode.keys()) {
      const refusal = refusalOf(nodeId);
      if (refusal) for (const viewer of this.#of(nodeId)) viewer.end(refusal);
    }
  }

  /** Makes the next step of every stream a full map. */
  resync(): void {
    for (const viewers of this.#byNode.values()) for (const viewer of viewers) viewer.resync();
  }

  /** Has every stream look whether there is something for it. */
  wake(): void {
    for (const viewers of this.#byNode.values()) for (const viewer of viewers) viewer.wake();
  }

  #of(nodeId: string): Iterable<Viewer> {
    return this.#byNode.get(nodeId) ?? [];
  }
}
