import { chmod, lstat, mkdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Refusal } from "@cloudvlan/kit/errors";
import { replaceWhole, syncFolder } from "@cloudvlan/kit/files";

/** Longest state file that is read, in bytes; the largest is a pending join of a few kilobytes. */
const MAX_FILE = 256 * 1024;

/**
 * Makes the folder, or checks that it is ours and that nobody else can enter it.
 * @throws Refusal naming the folder and the remedy.
 */
export async function privateFolder(path: string): Promise<void> {
  try {
    const stat = await lstat(path);
    if (!stat.isDirectory()) {
      throw new Refusal("conflict", "STATE_NOT_A_FOLDER", `${path} is not a folder`, {
        field: "state",
        remedy: "choose another --state folder",
      });
    }
    requireOwn(path, stat.uid);
    if ((stat.mode & 0o077) !== 0) {
      throw new Refusal("conflict", "STATE_OPEN_TO_OTHERS", `${path} is open to other users`, {
        field: "state",
        remedy: `chmod 700 ${path}`,
      });
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chmod(path, 0o700);
  }
}

/**
 * Replaces a file whole; a crash or a full disk leaves the former content.
 * @throws Refusal when the disk does not take it.
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  try {
    await replaceWhole(path, content);
  } catch (error) {
    throw storageRefusal(path, error);
  }
}

/** Renames inside one folder so that the rename outlives a crash. */
export async function moveWhole(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
}

export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncFolder(dirname(path));
}

/**
 * Content of a state file, undefined when there is none.
 * @throws Refusal when it is not a plain file, is not ours, is open to other users, or is too long.
 */
export async function readPrivate(path: string): Promise<string | undefined> {
  try {
    const stat = await lstat(path);
    if (!stat.isFile() || (stat.mode & 0o077) !== 0) {
      throw new Refusal("conflict", "STATE_FILE_OPEN_TO_OTHERS", `${path} is not a file of its owner alone`, {
        field: "state",
        remedy: `chmod 600 ${path}`,
      });
    }
    requireOwn(path, stat.uid);
    if (stat.size > MAX_FILE) throw damaged(path, `it is longer than ${MAX_FILE} bytes`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The refusal for a state file that cannot be understood. */
export function damaged(path: string, why: string): Refusal {
  return new Refusal("conflict", "STATE_DAMAGED", `${path} is damaged: ${why}`, {
    field: "state",
    remedy: "restore the file from a backup, or remove the state folder and join again",
  });
}

export function statePath(state: string, name: string): string {
  return join(state, name);
}

function requireOwn(path: string, owner: number): void {
  const own = process.geteuid?.();
  if (own === undefined || own === owner) return;
  throw new Refusal("conflict", "STATE_NOT_YOURS", `${path} belongs to the user ${owner}, this runs as ${own}`, {
    field: "state",
    remedy: `chown ${own} ${path}, if you know how it came there`,
  });
}

function storageRefusal(path: string, error: unknown): unknown {
  const code = errnoOf(error);
  if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EROFS" && code !== "EACCES") return error;
  return new Refusal("unavailable", "STATE_NOT_WRITABLE", `cannot write ${path} (${code}); the former content stands`, {
    field: "state",
    remedy: "free space on the disk of the state folder, or make it writable for the agent",
  });
}

function isMissing(error: unknown): boolean {
  return errnoOf(error) === "ENOENT";
}

/** The system's error name, for example `ENOENT`. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  return error.code;
}
