import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";

/** What a caller is told while the server dies under its call: the write may have happened or not. */
const UNCERTAIN: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Canceled, Code.Aborted]);
const PAUSE_MS = 50;

/**
 * What may be true of each object after writes of which some were acknowledged: the last acknowledged value, or that of a
 * later write whose answer never came. Each object has one writer.
 */
export interface Ledger {
  readonly acknowledged: number;
  /** Writes without an answer. */
  readonly uncertain: number;
  /** Acknowledged writes by RPC. */
  readonly byMethod: ReadonlyMap<string, number>;
  /** Values that an object may have; undefined for one that nobody wrote. */
  possible(object: string): ReadonlySet<string> | undefined;
  readonly objects: Iterable<string>;
  /** Says what an object is known to be. */
  hold(object: string, value: string): void;
  /**
   * Writes a value.
   * @param object undefined for one that only the answer names
   * @returns the answer, or undefined when none came
   * @throws ConnectError when the server refused a write that is in order
   */
  write<T>(method: string, object: string | undefined, value: string, call: () => Promise<T>): Promise<T | undefined>;
}

export function newLedger(): Ledger {
  const values = new Map<string, Set<string>>();
  const byMethod = new Map<string, number>();
  let acknowledged = 0;
  let uncertain = 0;
  const hold = (object: string, value: string): void => void values.set(object, new Set([value]));
  return {
    get acknowledged() {
      return acknowledged;
    },
    get uncertain() {
      return uncertain;
    },
    byMethod,
    possible: (object) => values.get(object),
    get objects() {
      return values.keys();
    },
    hold,
    write: async (method, object, value, call) => {
      if (object !== undefined) values.set(object, (values.get(object) ?? new Set()).add(value));
      try {
        const answer = await call();
        if (object !== undefined) hold(object, value);
        acknowledged += 1;
        byMethod.set(method, (byMethod.get(method) ?? 0) + 1);
        return answer;
      } catch (error) {
        if (!UNCERTAIN.has(ConnectError.from(error).code)) throw error;
        uncertain += 1;
        await delay(PAUSE_MS);
        return undefined;
      }
    },
  };
}
