import type { Clock } from "@cloudvlan/kit/clock";

/** Those who wait for the map to move on. */
export class Steps {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The map moved on: everybody looks again. */
  stepped(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Waits until a step makes `condition` true; false after `ms` or when the signal aborts. */
  async until(condition: () => boolean, ms: number, signal: AbortSignal): Promise<boolean> {
    const ends = this.#clock.monotonicMs() + ms;
    while (!condition()) {
      const rest = ends - this.#clock.monotonicMs();
      if (rest <= 0 || signal.aborted) return false;
      await new Promise<void>((resolve) => {
        const finish = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", finish);
          this.#waiting.delete(finish);
          resolve();
        };
        const timer = setTimeout(finish, rest);
        signal.addEventListener("abort", finish, { once: true });
        this.#waiting.add(finish);
      });
    }
    return true;
  }
}
