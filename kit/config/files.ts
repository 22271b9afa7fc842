import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { ConfigError } from "./error.ts";

/** Bytes; a configuration or secret larger than this is a mistake. */
const MAX_FILE_BYTES = 262_144;

function read(path: string, check: (mode: number) => string | undefined): string {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    throw fail(path, `cannot be read (${code}); check the path and its permissions`);
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw fail(path, "is not a regular file");
    if (stat.size > MAX_FILE_BYTES) throw fail(path, `is larger than ${MAX_FILE_BYTES} bytes`);
    const complaint = check(stat.mode);
    if (complaint !== undefined) throw fail(path, complaint);
    return readFileSync(descriptor, "utf8");
  } finally {
    closeSync(descriptor);
  }
}

function fail(path: string, message: string): ConfigError {
  return new ConfigError(path, [{ position: "", key: "", message }]);
}

/** @throws ConfigError when the file cannot be read or is larger than 256 KiB. */
export function readConfigFile(path: string): string {
  return read(path, () => undefined);
}

/**
 * Reads a file that holds a secret.
 * @returns its text without surrounding white space.
 * @throws ConfigError also when anybody but its owner may read it.
 */
export function readSecretFile(path: string): string {
  const text = read(path, (mode) =>
    (mode & 0o077) === 0 ? undefined : "holds a secret and others may read it; run chmod 600 on it",
  ).trim();
  if (text === "") throw fail(path, "is empty");
  return text;
}
