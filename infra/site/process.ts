import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { open, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { start } from "@cloudvlan/test/lab";
import { until } from "./until.ts";

const STOP_MS = 12_000;
const TAIL_LINES = 12;

/** A long-lived program that is started, killed and started again. Its output is appended to a log. */
export interface Program {
  readonly log: string;
  /** @throws Error when it does not run */
  readonly pid: number;
  readonly running: boolean;
  /** Resolves when the process that was started last ends. @throws Error when none was */
  readonly ended: Promise<void>;
  start(): Promise<void>;
  /** Sends a signal and waits until the process is gone. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Asks it to end, and insists after 12 s. */
  stop(): Promise<void>;
  /** Sends a signal and waits for nothing. */
  signal(signal: NodeJS.Signals): void;
  /** All that it ever wrote. */
  output(): Promise<string>;
  /** What it wrote since it was started last. */
  said(): Promise<string>;
  /**
   * Waits until a condition gives something other than undefined and false.
   * @throws Error with the end of the log when the process ends first or the time is over
   */
  until<T>(
    what: string,
    condition: () => Promise<T | undefined | false> | T | undefined | false,
    ceilingMs?: number,
  ): Promise<T>;
}

function tailOf(output: string): string {
  return output.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
}

/** @param log file that its output is appended to */
export function program(argv: readonly string[], log: string): Program {
  let child: ChildProcess | undefined;
  let ended: Promise<void> | undefined;
  let began = 0;
  const running = (): boolean => child !== undefined && child.exitCode === null && child.signalCode === null;
  const said = async (): Promise<string> => (await readFile(log)).subarray(began).toString();
  return {
    log,
    get pid() {
      if (child?.pid === undefined || !running()) throw new Error(`${argv.join(" ")} does not run`);
      return child.pid;
    },
    get running() {
      return running();
    },
    get ended() {
      if (!ended) throw new Error(`${argv.join(" ")} was not started`);
      return ended;
    },
    start: async () => {
      const file = await open(log, "a", 0o600);
      try {
        began = (await file.stat()).size;
        child = await start(argv, { stdio: ["ignore", file.fd, file.fd] });
        ended = once(child, "exit").then(() => undefined);
      } finally {
        await file.close();
      }
    },
    end: async (signal) => {
      if (!running()) return;
      child?.kill(signal);
      await ended;
    },
    stop: async () => {
      if (!running()) return;
      child?.kill("SIGTERM");
      const insist = new AbortController();
      const patience = delay(STOP_MS, undefined, { signal: insist.signal }).then(
        () => void child?.kill("SIGKILL"),
        () => undefined,
      );
      await ended;
      insist.abort();
      await patience;
    },
    signal: (signal) => void child?.kill(signal),
    output: () => readFile(log, "utf8"),
    said,
    until: async (what, condition, ceilingMs) => {
      try {
        return await until(
          what,
          async () => {
            const found = await condition();
            if (found !== undefined && found !== false) return found;
            if (!running()) throw new Error(`${what}: its process ended (${child?.exitCode ?? child?.signalCode})`);
            return undefined;
          },
          ceilingMs,
        );
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new Error(`${reason}; the end of its log:\n${tailOf(await said())}`, { cause: error });
      }
    },
  };
}
