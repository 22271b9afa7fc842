import type { Logger } from "@cloudvlan/kit/log";
import type { Problems } from "../state/problems.ts";
import { CONTROLLER_BACKOFF, fullJitter, sleep } from "../time/backoff.ts";
import { type PendingJoin, readPending } from "./pending.ts";

export interface ResumeOptions {
  readonly state: string;
  readonly problems: Problems;
  readonly log: Logger;
  attempt(pending: PendingJoin): Promise<unknown>;
}

/** Completes a join that a crash interrupted: again and again, until it is complete or refused for good. */
export async function resumeJoin(options: ResumeOptions, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      const pending = await readPending(options.state);
      if (!pending) return;
      await options.attempt(pending);
      options.problems.clear("join");
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (options.problems.report("join", error)) options.log.error({ error }, "the interrupted join is not complete");
    }
    await sleep(fullJitter(attempt, CONTROLLER_BACKOFF), signal);
  }
}
