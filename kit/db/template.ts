import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import * as z from "zod";
import kit from "../package.json" with { type: "json" };

const DATA = "data";
const MANIFEST = "manifest.json";
const MAX_FILES = 10_000;
/** The database itself is of this release and of no other: the two share an on-disk format. */
const RELEASE = kit.dependencies["@electric-sql/pglite"];

const manifestSchema = z.strictObject({
  pglite: z.string(),
  folders: z.array(z.string()).max(MAX_FILES),
  /** SHA-256 by path, hexadecimal. */
  files: z.record(z.string(), z.string()),
});
type Manifest = z.infer<typeof manifestSchema>;

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function manifestOf(folder: string): Manifest {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => ({ path: relative(folder, join(entry.parentPath, entry.name)), isFile: entry.isFile() }))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const files = entries.filter(({ isFile }) => isFile).map(({ path }) => path);
  return {
    pglite: RELEASE,
    folders: entries.filter(({ isFile }) => !isFile).map(({ path }) => path),
    files: Object.fromEntries(files.map((path) => [path, sha256(readFileSync(join(folder, path)))])),
  };
}

/**
 * Makes an empty database to be copied: what a first open does in seconds, a copy does in a fraction of one.
 * @param folder made here; it must not exist
 */
export async function makeTemplate(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const client = await PGlite.create(join(folder, DATA));
  await client.close();
  writeFileSync(join(folder, MANIFEST), JSON.stringify(manifestOf(join(folder, DATA))));
}

/**
 * Copies a template, whole or not at all. Each file is compared with the manifest on its way, so nothing damaged and
 * nothing of another release becomes a database.
 * @param target where the database is to be; nothing is there
 * @throws Error that says what is wrong with the template
 */
export function copyTemplate(template: string, target: string): void {
  const manifest = manifestSchema.parse(JSON.parse(readFileSync(join(template, MANIFEST), "utf8")));
  if (manifest.pglite !== RELEASE) throw new Error(`it is of PGlite ${manifest.pglite}, this is ${RELEASE}`);
  const draft = `${target}.draft`;
  rmSync(draft, { recursive: true, force: true });
  try {
    mkdirSync(draft, { recursive: true, mode: 0o700 });
    for (const folder of manifest.folders) mkdirSync(join(draft, folder), { recursive: true, mode: 0o700 });
    for (const [path, expected] of Object.entries(manifest.files)) {
      const bytes = readFileSync(join(template, DATA, path));
      if (sha256(bytes) !== expected) throw new Error(`${path} is damaged`);
      writeFileSync(join(draft, path), bytes, { mode: 0o600, flag: "wx" });
    }
    renameSync(draft, target);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}
