import { covers, type Interval, network } from "./space.ts";

interface Entry {
  readonly interval: Interval;
  readonly nodeId: string;
}

/** Above so many additions the entries are sorted afresh instead of put in one by one. */
const SORT_AT = 64;

/**
 * Who has an address or a route in a prefix, without looking at the others. Prefixes nest or are apart, so those that
 * share an address with P are the ones around P, found by the lengths in use, and the ones inside P, found by order.
 */
export class AddressIndex {
  readonly #around = new Map<string, Set<string>>();
  /** How many entries have a length, by family and length. */
  readonly #lengths = new Map<string, number>();
  #sorted: Entry[] = [];
  #added: Entry[] = [];

  add(interval: Interval, nodeId: string): void {
    const key = keyOf(interval.first, interval.length);
    let owners = this.#around.get(key);
    if (!owners) this.#around.set(key, (owners = new Set()));
    if (owners.has(nodeId)) return;
    owners.add(nodeId);
    this.#count(interval, 1);
    this.#added.push({ interval, nodeId });
  }

  delete(interval: Interval, nodeId: string): void {
    const key = keyOf(interval.first, interval.length);
    const owners = this.#around.get(key);
    if (!owners?.delete(nodeId)) return;
    if (owners.size === 0) this.#around.delete(key);
    this.#count(interval, -1);
    this.#settle();
    const isIt = (entry: Entry) => entry.nodeId === nodeId && entry.interval.length === interval.length;
    for (let at = this.#lowerBound(interval.first); this.#sorted[at]?.interval.first === interval.first; at++) {
      const entry = this.#sorted[at];
      if (entry && isIt(entry)) {
        this.#sorted.splice(at, 1);
        return;
      }
    }
  }

  /** Nodes with an address or route that shares an address with the prefix. */
  *touching(prefix: Interval): Iterable<string> {
    const family = `${prefix.first.length}/`;
    for (const key of this.#lengths.keys()) {
      if (!key.startsWith(family)) continue;
      const length = Number(key.slice(family.length));
      if (length >= prefix.length) continue;
      yield* this.#around.get(keyOf(network(prefix.first, length), length)) ?? [];
    }
    this.#settle();
    for (let at = this.#lowerBound(prefix.first); at < this.#sorted.length; at++) {
      const entry = this.#sorted[at];
      if (!entry || compare(entry.interval.first, prefix.last) > 0) return;
      if (covers(prefix, entry.interval)) yield entry.nodeId;
    }
  }

  #count(interval: Interval, by: number): void {
    const key = `${interval.first.length}/${interval.length}`;
    const count = (this.#lengths.get(key) ?? 0) + by;
    if (count === 0) this.#lengths.delete(key);
    else this.#lengths.set(key, count);
  }

  #settle(): void {
    if (this.#added.length > SORT_AT) {
      this.#sorted = [...this.#sorted, ...this.#added].sort((a, b) => compare(a.interval.first, b.interval.first));
    } else {
      for (const entry of this.#added) this.#sorted.splice(this.#lowerBound(entry.interval.first), 0, entry);
    }
    this.#added = [];
  }

  /** Position of the first entry that does not start before `first`. */
  #lowerBound(first: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.#sorted[middle];
      if (entry && compare(entry.interval.first, first) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** IPv4 before IPv6, then by address. */
function compare(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

function keyOf(first: string, length: number): string {
  return `${first}/${length}`;
}
