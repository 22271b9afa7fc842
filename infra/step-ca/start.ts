import { type ChildProcess, spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { request } from "node:https";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "@cloudvlan/kit/clock";
import { caFiles } from "./init.ts";

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5_000;
const POLL_MS = 50;
const LOG_TAIL_BYTES = 2_000;

export interface RunningCa {
  /** Base URL, https. */
  readonly url: string;
  /** Path of the root certificate. */
  readonly rootPem: string;
  readonly pid: number;
  /** Ends the process and waits until it is gone. */
  stop(): Promise<void>;
}

/**
 * Starts step-ca on a folder of `initCa` and waits until it answers. Its log goes to `<dir>/step-ca.log`.
 * @param binary path of the step-ca executable.
 * @throws Error with the remedy when the port is taken, or with the end of its log when it does not come up.
 */
export async function startCa(dir: string, binary: string): Promise<RunningCa> {
  const folder = resolve(dir);
  const files = caFiles(folder);
  const { address } = JSON.parse(await readFile(files.config, "utf8")) as { address: string };
  const url = `https://${address}`;
  const logPath = join(folder, "step-ca.log");
  const root = await readFile(files.rootPem, "utf8");

  const log = await open(logPath, "a", 0o600);
  const { size: logStart } = await log.stat();
  const child = spawn(binary, [files.config], {
    stdio: ["ignore", log.fd, log.fd],
    env: { STEPPATH: folder, HOME: folder },
  });
  const exited = exitOf(child);
  await log.close();

  const deadline = systemClock.monotonicMs() + START_TIMEOUT_MS;
  for (;;) {
    const ended = await Promise.race([exited, sleep(POLL_MS)]);
    if (ended !== undefined) throw new Error(await explain(ended, address, logPath, logStart));
    if (await healthy(url, root)) break;
    if (systemClock.monotonicMs() > deadline) {
      await end(child, exited);
      throw new Error(
        await explain(`it did not answer within ${START_TIMEOUT_MS / 1000} s`, address, logPath, logStart),
      );
    }
  }
  if (child.pid === undefined) throw new Error("step-ca has no process id");
  return { url, rootPem: files.rootPem, pid: child.pid, stop: () => end(child, exited) };
}

/** Resolves with why the process ended. */
function exitOf(child: ChildProcess): Promise<string> {
  const { promise, resolve: ended } = Promise.withResolvers<string>();
  child.once("error", (error) => ended(error.message));
  child.once("exit", (code, signal) => ended(`it ended with ${signal ?? `code ${code}`}`));
  return promise;
}

async function end(child: ChildProcess, exited: Promise<string>): Promise<void> {
  child.kill("SIGTERM");
  const slow = AbortSignal.timeout(STOP_TIMEOUT_MS);
  const kill = () => child.kill("SIGKILL");
  slow.addEventListener("abort", kill);
  await exited;
  slow.removeEventListener("abort", kill);
}

function healthy(url: string, ca: string): Promise<boolean> {
  const { promise, resolve: answer } = Promise.withResolvers<boolean>();
  const signal = AbortSignal.timeout(1_000);
  const call = request(new URL("/health", url), { ca, signal, agent: false }, (response) => {
    response.resume();
    answer(response.statusCode === 200);
  });
  call.on("error", () => answer(false));
  call.end();
  return promise;
}

async function explain(why: string, address: string, logPath: string, logStart: number): Promise<string> {
  const log = (await readFile(logPath)).subarray(logStart).toString();
  if (log.includes("address already in use")) {
    return `step-ca cannot listen on ${address}: the port is taken; end what uses it or change "address" in ca.json`;
  }
  return `step-ca does not run: ${why}; the end of ${logPath}:\n${log.slice(-LOG_TAIL_BYTES)}`;
}
