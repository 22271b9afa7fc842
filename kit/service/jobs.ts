import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { outsideScope } from "../caller/index.ts";
import type { Logger } from "../log/index.ts";
import type { Job } from "./index.ts";

const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 30_000;

async function keepRunning(job: Job, log: Logger, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      await job.run(signal);
      return;
    } catch (error) {
      if (signal.aborted) return;
      const ceiling = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10));
      const pause = randomInt(ceiling / 2, ceiling + 1);
      log.error({ error, job: job.name, restart_ms: pause }, "job failed");
      await sleep(pause, undefined, { signal }).catch(() => {
        // Aborted: the loop ends.
      });
    }
  }
}

/** Runs jobs until the signal, each started again with backoff when it throws. Never rejects. */
export async function runJobs(jobs: readonly Job[], log: Logger, signal: AbortSignal): Promise<void> {
  await outsideScope(() => Promise.all(jobs.map((job) => keepRunning(job, log, signal))));
}
