import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { open, readFile } from "node:fs/promises";
import { start } from "@cloudvlan/test/lab";

/** A program that a test starts, kills and starts again. Its output is appended to a log. */
export interface Program {
  readonly log: string;
  /** @throws Error when it does not run */
  readonly pid: number;
  readonly running: boolean;
  start(): Promise<void>;
  /** Sends a signal and waits until the process is gone. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Sends a signal and waits for nothing. */
  signal(signal: NodeJS.Signals): void;
  output(): Promise<string>;
}

export function program(argv: readonly string[], log: string): Program {
  let child: ChildProcess | undefined;
  const running = (): boolean => child !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    log,
    get pid() {
      if (child?.pid === undefined || !running()) throw new Error(`${argv.join(" ")} does not run`);
      return child.pid;
    },
    get running() {
      return running();
    },
    start: async () => {
      const file = await open(log, "a", 0o600);
      try {
        child = await start(argv, { stdio: ["ignore", file.fd, file.fd] });
      } finally {
        await file.close();
      }
    },
    end: async (signal) => {
      if (!child || !running()) return;
      const ended = once(child, "exit");
      child.kill(signal);
      await ended;
    },
    signal: (signal) => void child?.kill(signal),
    output: () => readFile(log, "utf8"),
  };
}
