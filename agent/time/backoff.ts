import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

/** Bounds of a backoff in milliseconds. */
export interface BackoffBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Between attempts to reach the controller. */
export const CONTROLLER_BACKOFF: BackoffBounds = { minMs: 200, maxMs: 30_000 };

/** A whole number in [0, limit). */
export type RandomBelow = (limit: number) => number;

/**
 * Full jitter: evenly between 0 and a ceiling that doubles from `minMs` to `maxMs`, so that a fleet that lost its
 * controller at one instant does not come back at one instant.
 * @param attempt failures in a row so far, from 0.
 * @returns milliseconds to wait.
 */
export function fullJitter(attempt: number, bounds: BackoffBounds, random: RandomBelow = randomBelow): number {
  const ceiling = Math.min(bounds.maxMs, bounds.minMs * 2 ** Math.min(attempt, 30));
  return random(Math.floor(ceiling) + 1);
}

/** `value` moved by up to `share` of itself to either side. */
export function jittered(value: number, share: number, random: RandomBelow = randomBelow): number {
  const span = Math.floor(value * share);
  return value - span + random(2 * span + 1);
}

/** Waits, or returns early when the signal aborts. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function randomBelow(limit: number): number {
  return randomInt(Math.max(1, limit));
}

/** Evenly in [0, 1). */
export function uniform(): number {
  return randomInt(2 ** 32) / 2 ** 32;
}
