import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../clock/index.ts";

/** Node's timers take 31 bits of milliseconds. */
const MAX_SLEEP_MS = 2 ** 31 - 1;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * When to renew: at two thirds of the life, give or take a tenth of it, so that certificates issued together do not come
 * back together. In the past when renewal is due.
 * @param random 0 up to 1.
 * @returns milliseconds since the Unix epoch.
 */
export function renewalTime({ notBefore, notAfter }: Validity, random: number): number {
  const life = notAfter.getTime() - notBefore.getTime();
  return Math.round(notBefore.getTime() + life * (2 / 3 + (random * 2 - 1) / 10));
}

/**
 * Pause before the next attempt: doubles from 1 s to 60 s, with full jitter above its half.
 * @param failures attempts that failed so far, 1 or more.
 * @param random 0 up to 1.
 */
export function retryDelay(failures: number, random: number): number {
  const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 10));
  return Math.round(ceiling / 2 + (random * ceiling) / 2);
}

export interface RenewalLoop {
  readonly clock: Clock;
  /** 0 up to 1. */
  readonly random: () => number;
  /** The certificate in use. */
  readonly current: Validity;
  /** Fetches a certificate and puts it to use; a rejection is reported and tried again. */
  renew(signal: AbortSignal): Promise<Validity>;
  onFailure(error: unknown, failures: number): void;
}

/** Keeps a certificate fresh until the signal; also brings one back that expired in an outage. Never rejects. */
export async function keepRenewed(loop: RenewalLoop, signal: AbortSignal): Promise<void> {
  let validity = loop.current;
  let failures = 0;
  let due = renewalTime(validity, loop.random());
  while (await sleepUntil(loop.clock, due, signal)) {
    try {
      validity = await loop.renew(signal);
      failures = 0;
      const earliest = loop.clock.nowMs() + FIRST_RETRY_MS;
      due = Math.max(earliest, renewalTime(validity, loop.random()));
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      loop.onFailure(error, failures);
      due = loop.clock.nowMs() + retryDelay(failures, loop.random());
    }
  }
}

/** False when the signal came first. */
async function sleepUntil(clock: Clock, timeMs: number, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    if (signal.aborted) return false;
    const left = timeMs - clock.nowMs();
    if (left <= 0) return true;
    try {
      await sleep(Math.min(left, MAX_SLEEP_MS), undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
