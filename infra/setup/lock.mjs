import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { SetupFailure } from "./failure.mjs";

const PATIENCE_MS = 1_000;

/**
 * Runs `work` while no other process holds the same lock. The kernel keeps the lock (flock(2)) for a child that lives as
 * long as our end of its pipe, so the lock of a dead set-up is free at once and none is ever stale.
 * @param {string} path lock file; its folder is made
 * @param {() => void} onWait called once when somebody else holds it
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 * @template T
 */
export async function withLock(path, onWait, work) {
  await mkdir(dirname(path), { recursive: true });
  const holder = spawn("flock", [path, "sh", "-c", "echo held; exec cat"], { stdio: ["pipe", "pipe", "inherit"] });
  const failed = once(holder, "error").then(([error]) => {
    throw new SetupFailure(`cannot lock ${path}: ${error.message}; install util-linux (flock)`);
  });
  const ended = once(holder, "exit").then(() => {
    throw new SetupFailure(`cannot lock ${path}: flock ended; is the folder writable?`);
  });
  ended.catch(() => {});
  const waiting = setTimeout(onWait, PATIENCE_MS);
  try {
    await Promise.race([once(holder.stdout, "data"), failed, ended]);
  } finally {
    clearTimeout(waiting);
  }
  try {
    return await work();
  } finally {
    holder.stdin.end();
  }
}
