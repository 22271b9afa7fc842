import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createLogger, type Logger } from "@cloudvlan/kit/log";

/** A private folder that goes with the test. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "cvlan-agent-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Waits for a condition; the time is a ceiling, not an expectation. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ceilingMs = 30_000,
): Promise<void> {
  const end = Date.now() + ceilingMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await sleep(10);
  }
}

/** For tests that look at no span. */
export const noTelemetry = { take: () => undefined };

/** A logger whose lines a test can read. */
export function recordingLog(copy?: { write(line: string): void }): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({ name: "test", level: "debug", destination, ...(copy && { copy }) });
  return { log, lines };
}
