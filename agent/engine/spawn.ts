import { type ChildProcess, spawn } from "node:child_process";
import { open, rename, stat } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { Refusal } from "@cloudvlan/kit/errors";
import type { ScrapeAddress } from "@cloudvlan/kit/telemetry";
import { errnoOf, statePath } from "../state/files.ts";

/** Bytes after which the engine's log is set aside at the next start. */
const LOG_LIMIT = 4 * 1024 * 1024;

/** Bytes of the engine's last words that an error may quote. */
const LAST_WORDS = 2_048;

export interface EngineProcess {
  readonly pid: number;
  /** Rejects when the process ends, with its last words. */
  readonly ended: Promise<never>;
}

/**
 * Starts the engine in its own session, so that it outlives the agent and its terminal.
 * @param path executable, or a name that is looked up in PATH.
 * @param state the agent's folder; the engine gets `engine` in it, its log is `engine.log`.
 * @param metrics where it shows its figures; nowhere when undefined.
 * @param takeOver whether it follows the engine that runs, with its sessions where both can.
 * @throws Refusal when there is no such executable.
 */
export async function spawnEngine(
  path: string,
  state: string,
  metrics: ScrapeAddress | undefined,
  takeOver: boolean,
): Promise<EngineProcess> {
  const logPath = statePath(state, "engine.log");
  await setAsideLongLog(logPath);
  const log = await open(logPath, "a", 0o600);
  try {
    const { size: start } = await log.stat();
    const shown = metrics === undefined ? [] : ["--metrics", hostPort(metrics)];
    const followed = takeOver ? ["--take-over"] : [];
    const child = spawn(path, ["run", "--state", statePath(state, "engine"), ...shown, ...followed], {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
    });
    child.unref();
    const pid = await pidOf(child, path);
    const ended = new Promise<never>((_, reject) => {
      child.once("exit", (code, killer) => {
        void lastWords(logPath, start).then((words) => {
          const how = killer ? `was ended by ${killer}` : `ended with code ${code}`;
          reject(
            new Refusal("unavailable", "ENGINE_ENDED", `the engine ${how}${words && `: ${words}`}`, {
              remedy: `see ${logPath}; it is started again by itself`,
            }),
          );
        }, reject);
      });
    });
    ended.catch(() => undefined);
    return { pid, ended };
  } finally {
    await log.close();
  }
}

function hostPort({ address, port }: ScrapeAddress): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}

function pidOf(child: ChildProcess, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", (error) => {
      reject(
        new Refusal("unavailable", "ENGINE_NOT_STARTED", `cannot start the engine ${path} (${errnoOf(error)})`, {
          field: "engine",
          remedy: "install cvlan-engine, or name its path with --engine",
        }),
      );
    });
    child.once("spawn", () => {
      if (child.pid === undefined) reject(new Error("a spawned process has no id"));
      else resolve(child.pid);
    });
  });
}

async function setAsideLongLog(path: string): Promise<void> {
  try {
    if ((await stat(path)).size > LOG_LIMIT) await rename(path, `${path}.1`);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** Levels at which a program that fails does not say why. */
const CALM = /^\{.*"level":"(TRACE|DEBUG|INFO)"/;

/** Last line of the engine since `start` that may tell why it ended, as one printable line; empty when there is none. */
async function lastWords(path: string, start: number): Promise<string> {
  const log = await open(path, "r");
  try {
    const { size } = await log.stat();
    const from = Math.max(start, size - LAST_WORDS);
    const { buffer, bytesRead } = await log.read(Buffer.alloc(LAST_WORDS), 0, LAST_WORDS, from);
    const lines = buffer.toString("utf8", 0, bytesRead).trim().split("\n");
    return (lines.findLast((line) => !CALM.test(line)) ?? "").replaceAll(/[^\x20-\x7e]/g, "?");
  } finally {
    await log.close();
  }
}
