import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Logger } from "@cloudvlan/kit/log";

const FIRST_MS = 200;
const LONGEST_MS = 10_000;

/** True when a source says that it was restored to a state before the cursor: it is to be read from the start. */
export function isCursorAhead(error: unknown): boolean {
  return error instanceof Refusal && error.reason === "CURSOR_AHEAD";
}

/** Runs `follow` until the signal aborts: again after it ends, after a growing, jittered pause when it throws. */
export async function follow(log: Logger, what: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  let pause = FIRST_MS;
  while (!signal.aborted) {
    const failure = await outcome(work);
    if (signal.aborted) return;
    if (failure) {
      log.warn({ error: failure.message }, `${what} failed; it is tried again`);
      pause = Math.min(LONGEST_MS, pause * 2);
    } else {
      pause = FIRST_MS;
    }
    await sleep(randomInt(pause / 2, pause), undefined, { signal }).catch(() => undefined);
  }
}

async function outcome(work: () => Promise<void>): Promise<Error | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
