import { Code, ConnectError } from "@connectrpc/connect";
import type { Takeover } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Logger } from "@cloudvlan/kit/log";
import { type Cell, cell } from "../state/cell.ts";
import { statePath } from "../state/files.ts";
import { sleep } from "../time/backoff.ts";
import type { RunningEngine } from "./running.ts";
import { type EngineProcess } from "./spawn.ts";

/** Milliseconds for a successor to verify its map, take over and answer. */
const REPLACE_TIMEOUT_MS = 60_000;
const LOOK_MS = 25;

/** How one engine followed another. */
export interface Replaced {
  readonly version: string;
  readonly takeover: Takeover | undefined;
}

/** One wish for another engine process; whoever supervises the engine fulfils it. */
interface Wish {
  fulfilled(replaced: Replaced): void;
  refused(error: unknown): void;
}

/** The wishes of callers, at most one at a time. */
export interface Wishes {
  /** Set while somebody waits. */
  readonly pending: Cell<Wish | undefined>;
  /** @throws Refusal `ENGINE_BUSY` when somebody else waits already; why nothing was replaced. */
  wish(signal: AbortSignal): Promise<Replaced>;
}

export function wishes(): Wishes {
  const pending = cell<Wish | undefined>(undefined);
  return {
    pending,
    wish(signal) {
      if (pending.get()) {
        const busy = new Refusal("conflict", "ENGINE_BUSY", "the engine is being replaced already", {
          remedy: "wait until that is done",
        });
        return Promise.reject(busy);
      }
      return new Promise((resolve, reject) => {
        const done = (settle: () => void) => {
          signal.removeEventListener("abort", gone);
          if (pending.get() === mine) pending.set(undefined);
          settle();
        };
        const mine: Wish = {
          fulfilled: (replaced) => done(() => resolve(replaced)),
          refused: (error) => done(() => reject(error)),
        };
        const gone = () => mine.refused(signal.reason);
        signal.addEventListener("abort", gone, { once: true });
        pending.set(mine);
      });
    },
  };
}

export interface ReplaceSteps {
  readonly state: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Starts the successor. */
  start: () => Promise<EngineProcess>;
  /** Whoever answers now; undefined when nobody does. */
  probe: () => Promise<RunningEngine | undefined>;
}

/**
 * Has another process follow `former`, which nobody may use any more. One that hands nothing over is stopped before.
 * @returns the engine that runs now and how it came to that.
 * @throws Refusal when the successor did not come up; the former one goes on if it can hand over.
 */
export async function replaceEngine(
  former: RunningEngine,
  { state, clock, log, start, probe }: ReplaceSteps,
  signal: AbortSignal,
): Promise<{ engine: RunningEngine; replaced: Replaced }> {
  await former.settled();
  if (former.identity.build === "") await former.client.shutdown({}, { signal });
  const child = await start();
  log.info({ pid: child.pid, former: former.identity.instanceId }, "engine started to take over");
  const deadline = clock.monotonicMs() + REPLACE_TIMEOUT_MS;
  for (;;) {
    const engine = await Promise.race([whoAnswers(probe), child.ended]);
    if (engine && engine.identity.instanceId !== former.identity.instanceId) {
      const { status } = await engine.client.getStatus({ withoutPeers: true }, { signal });
      const { version } = engine.identity;
      return { engine, replaced: { version, takeover: status?.takeover } };
    }
    signal.throwIfAborted();
    if (clock.monotonicMs() > deadline) {
      throw new Refusal("unavailable", "ENGINE_SILENT", `the new engine (pid ${child.pid}) does not answer`, {
        remedy: `see ${statePath(state, "engine.log")}`,
      });
    }
    await Promise.race([sleep(LOOK_MS, signal), child.ended]);
  }
}

/** An engine that reads a large map to hand it over, or to take it, does not answer for that long. */
async function whoAnswers(probe: () => Promise<RunningEngine | undefined>): Promise<RunningEngine | undefined> {
  try {
    return await probe();
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.DeadlineExceeded) return undefined;
    throw error;
  }
}
