import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { open, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { start } from "@cloudvlan/test/lab";

const POLL_MS = 20;
const STOP_MS = 12_000;
const TAIL_LINES = 12;

/** A long-lived process with its output in a file. */
export interface Daemon {
  /** Resolves when the process ends. */
  readonly ended: Promise<void>;
  /** What it has written so far. */
  output(): Promise<string>;
  /**
   * Waits until a condition gives something other than undefined.
   * @throws Error with the end of the log when the process ends first or the time is over
   */
  until<T>(what: string, timeoutMs: number, condition: () => Promise<T | undefined>): Promise<T>;
  /** Asks it to end, and insists after 12 s. */
  stop(): Promise<void>;
}

function tailOf(output: string): string {
  return output.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
}

/** @param log file that its output is appended to */
export async function startDaemon(argv: readonly string[], log: string): Promise<Daemon> {
  const file = await open(log, "a", 0o600);
  const { size: began } = await file.stat();
  let child: ChildProcess;
  try {
    child = await start(argv, { stdio: ["ignore", file.fd, file.fd] });
  } finally {
    await file.close();
  }
  const ended = once(child, "exit").then(() => undefined);
  const output = async (): Promise<string> => (await readFile(log)).subarray(began).toString();
  const running = (): boolean => child.exitCode === null && child.signalCode === null;
  return {
    ended,
    output,
    until: async (what, timeoutMs, condition) => {
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        const found = await condition();
        if (found !== undefined) return found;
        const late = performance.now() > deadline;
        if (late || !running()) {
          const why = late
            ? `not within ${timeoutMs / 1000} s`
            : `its process ended (${child.exitCode ?? child.signalCode})`;
          throw new Error(`${what}: ${why}; the end of its log:\n${tailOf(await output())}`);
        }
        await delay(POLL_MS);
      }
    },
    stop: async () => {
      if (!running()) return;
      child.kill("SIGTERM");
      const insist = new AbortController();
      const patience = delay(STOP_MS, undefined, { signal: insist.signal }).then(
        () => void child.kill("SIGKILL"),
        () => undefined,
      );
      await ended;
      insist.abort();
      await patience;
    },
  };
}
