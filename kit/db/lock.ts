import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Refusal } from "../errors/index.ts";

const SQLITE_BUSY = 5;

/**
 * Locks a folder for this process. The lock is the kernel's, held on an open file (through SQLite, Node has no lock of
 * its own), so a dead process holds nothing and there is no stale lock to judge; the pid beside it is for people.
 * @throws Refusal `conflict` naming the pid of the holder, in this process too.
 */
export function lockFolder(folder: string): Disposable {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const pidFile = join(folder, "pid");
  const lock = new DatabaseSync(join(folder, "lock"));
  try {
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    if (!(error instanceof Error) || !("errcode" in error) || error.errcode !== SQLITE_BUSY) throw error;
    const holder = readPid(pidFile);
    throw new Refusal("conflict", "STORE_LOCKED", `the database in ${folder} is open in process ${holder}`, {
      remedy: "stop that process, give this one another data folder, or use PostgreSQL for several processes",
    });
  }
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  return { [Symbol.dispose]: () => lock.close() };
}

function readPid(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "(unknown)";
  }
}
