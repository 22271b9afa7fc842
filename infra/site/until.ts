import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 20;

/**
 * Waits until a condition gives something other than undefined and false. The ceiling is for what is broken, not a measure.
 * @throws Error that says what never came
 */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  ceilingMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + ceilingMs;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`not within ${ceilingMs / 1000} s: ${what}`);
    await delay(POLL_MS);
  }
}
