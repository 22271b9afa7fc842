import { cpus } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

/** Cores that others may keep busy before a figure is doubted. */
export const QUIET_CORES = 0.2;
const WINDOW_MS = 500;

/** Cores that are busy while nothing of ours runs. */
export async function busyCores(): Promise<number> {
  const used = (): { busy: number; all: number } => {
    const times = cpus().map((core) => core.times);
    const all = times.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0);
    return { all, busy: all - times.reduce((sum, { idle }) => sum + idle, 0) };
  };
  const before = used();
  await delay(WINDOW_MS);
  const after = used();
  return (cpus().length * (after.busy - before.busy)) / Math.max(after.all - before.all, 1);
}

/** Waits until the machine is quiet, at most so long; false when it never was. */
export async function becomesQuiet(patienceMs: number): Promise<boolean> {
  const deadline = performance.now() + patienceMs;
  do {
    if ((await busyCores()) <= QUIET_CORES) return true;
  } while (performance.now() < deadline);
  return false;
}
