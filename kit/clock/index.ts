import { uptime } from "node:os";

/** Time comes in from outside: domain code never asks the system for it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number;
  /** Milliseconds of a clock that never steps; only differences mean anything. */
  monotonicMs(): number;
  /** The same, and it counts the time that the machine slept (CLOCK_BOOTTIME); to about 10 ms. */
  bootMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  bootMs: () => uptime() * 1_000,
};
