import { randomBytes } from "node:crypto";
import { link, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Replaces a file whole, mode 0600: write beside it, fsync, rename, fsync of the folder. A crash or a full disk leaves
 * the former content.
 */
export async function replaceWhole(path: string, content: string | Uint8Array): Promise<void> {
  await besides(path, content, (draft) => rename(draft, path));
}

/**
 * Makes a file whole or not at all, mode 0600, also when two processes do it at once: it appears by `link`, which never
 * replaces.
 * @returns false when it was there.
 */
export async function createWhole(path: string, content: string | Uint8Array): Promise<boolean> {
  try {
    await besides(path, content, (draft) => link(draft, path));
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

async function besides(
  path: string,
  content: string | Uint8Array,
  place: (draft: string) => Promise<void>,
): Promise<void> {
  const draft = `${path}.${randomBytes(8).toString("hex")}`;
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await place(draft);
  } finally {
    await rm(draft, { force: true });
  }
  await syncFolder(dirname(path));
}

/** Has what was named, renamed or removed in a folder outlive a crash. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
