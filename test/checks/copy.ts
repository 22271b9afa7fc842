import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Root of the clone under test. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

const CONTRACT = [
  "protodefs",
  "infra/proto",
  "gen",
  "docs/contract-changes.md",
  "buf.yaml",
  "buf.gen.yaml",
  "buf.gen.sdk.yaml",
];
const SOURCES = ["kit", "services", "agent", "cli", "infra", "test", "bench"];

/** A copy of some of the clone, to be spoilt. */
export interface Copy extends AsyncDisposable {
  readonly root: string;
  /** Replaces the first occurrence of a text in a file. @throws Error when it is not there */
  edit(path: string, from: string, to: string): Promise<void>;
}

async function copyOf(paths: readonly string[]): Promise<Copy> {
  const folder = await mkdtemp(join(tmpdir(), "cloudvlan-copy-"));
  const filter = (path: string): boolean => !path.includes("node_modules");
  for (const path of paths) await cp(join(root, path), join(folder, path), { recursive: true, filter });
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  return {
    root: folder,
    edit: async (path, from, to) => {
      const text = await readFile(join(folder, path), "utf8");
      if (!text.includes(from)) throw new Error(`${path} does not contain ${JSON.stringify(from)}`);
      await writeFile(join(folder, path), text.replace(from, to));
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** The protos, what is generated from them, and the baseline. */
export const copyOfContract = (): Promise<Copy> => copyOf(CONTRACT);

/** Every TypeScript source. */
export const copyOfSources = (): Promise<Copy> => copyOf(SOURCES);
