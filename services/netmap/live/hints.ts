import { isHintOf } from "../domain/endpoints.ts";
import type { Scope } from "../domain/scope.ts";
import { readEndpoints } from "../endpoint-store.ts";
import type { NetmapContext } from "./context.ts";

interface Hint {
  /** Serialised `EndpointHint`. */
  readonly bytes: Uint8Array;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

/** Where the nodes of a cvlan say they can be reached, as far as this worker has read. */
export class Hints {
  readonly #context: NetmapContext;
  readonly #scope: Scope;
  readonly #byNode = new Map<string, Hint>();
  #sequence = 0n;

  constructor(context: NetmapContext, scope: Scope) {
    this.#context = context;
    this.#scope = scope;
  }

  /** Reads the reports that came since the last read, and returns whose say something new. */
  async read(): Promise<string[]> {
    const rows = await this.#context.db.tenant(this.#scope.tenantId, (tx) =>
      readEndpoints(tx, this.#scope, this.#sequence),
    );
    const news: string[] = [];
    for (const { nodeId, hint, expiresAt, sequence } of rows) {
      if (sequence > this.#sequence) this.#sequence = sequence;
      if (!isHintOf(nodeId, hint)) {
        this.#context.log.error(
          { ...this.#scope, nodeId },
          "stored endpoints are no report of the node; they are ignored",
        );
        continue;
      }
      const known = this.#byNode.get(nodeId)?.bytes;
      if (!known || Buffer.compare(known, hint) !== 0) news.push(nodeId);
      this.#byNode.set(nodeId, { bytes: hint, expiresAt: expiresAt.getTime() });
    }
    return news;
  }

  /** The hints of these nodes that are not expired. */
  of(nodeIds: readonly string[]): Uint8Array[] {
    const now = this.#context.clock.nowMs();
    const found: Uint8Array[] = [];
    for (const nodeId of nodeIds) {
      const hint = this.#byNode.get(nodeId);
      if (hint && hint.expiresAt > now) found.push(hint.bytes);
      else this.#byNode.delete(nodeId);
    }
    return found;
  }
}
