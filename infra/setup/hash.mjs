import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";

/** First 16 hex digits of SHA-256 over the parts, each with its length so that no two lists collide. */
export function hashOf(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest("hex").slice(0, 16);
}

/** Folders that a build leaves or brings, not its sources. */
const NO_SOURCES = ["target", "node_modules"];

/** `hashOf` every file below the folders, by path and content. */
export async function hashOfFolders(base, folders, ...more) {
  const files = [];
  const walk = async (folder) => {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isFile()) files.push(path);
      else if (entry.isDirectory() && !NO_SOURCES.includes(entry.name)) await walk(path);
    }
  };
  for (const folder of folders) await walk(join(base, folder));
  files.sort((a, b) => (a < b ? -1 : 1));
  const parts = [];
  for (const file of files) parts.push(relative(base, file), await readFile(file));
  return hashOf(...more, ...parts);
}
