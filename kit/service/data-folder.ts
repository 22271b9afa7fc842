import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../config/index.ts";
import { isId, newId } from "../ids/index.ts";

function fail(key: string, message: string): ConfigError {
  return new ConfigError("configuration", [{ position: "", key, message }]);
}

/** Makes the folder of a process, for its owner alone. @throws ConfigError when that cannot be. */
export function prepareDataFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    throw fail("data", `${path} cannot be made or is not ours (${code}); name a folder this user may write`);
  }
}

/**
 * The trust domain: made at the first start, kept ever after.
 * @param configured from the configuration; workers that share a database must all be told the same.
 * @throws ConfigError when the folder belongs to another cluster.
 */
export function clusterIdOf(folder: string, configured: string | undefined, nowMs: number): string {
  const file = join(folder, "cluster");
  try {
    writeFileSync(file, `${configured ?? newId("cluster", nowMs)}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  const kept = readFileSync(file, "utf8").trim();
  if (!isId("cluster", kept)) throw fail("data", `${file} does not hold a cluster id; restore it from a backup`);
  if (configured !== undefined && configured !== kept) {
    throw fail("cluster", `the data folder belongs to ${kept}; use that id or another folder`);
  }
  return kept;
}
