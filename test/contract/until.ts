import { setTimeout as sleep } from "node:timers/promises";

const CEILING_MS = 60_000;

/** Waits for a condition; the ceiling is for a broken test, not a measure. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const ends = Date.now() + CEILING_MS;
  while (!(await condition())) {
    if (Date.now() > ends) throw new Error(`never came: ${what}`);
    await sleep(20);
  }
}
