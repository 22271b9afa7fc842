import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { GENERATED, generate, type Generators } from "../../gen/generate.ts";

async function filesOf(folder: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.set(relative(folder, path), await readFile(path));
  }
  return files;
}

async function differences(name: string, committed: string, generated: string): Promise<string[]> {
  const [have, want] = [await filesOf(committed), await filesOf(generated)];
  const problems: string[] = [];
  for (const [path, bytes] of want) {
    const own = have.get(path);
    if (!own) problems.push(`${name}/${path} is missing: generate it and commit it`);
    else if (!own.equals(bytes))
      problems.push(`${name}/${path} is not what the protos give: generate it, never edit it`);
  }
  for (const path of have.keys()) {
    if (!want.has(path)) problems.push(`${name}/${path} comes from no proto: remove it`);
  }
  return problems;
}

/** Generated files of a clone that are not what its protos give; each one a sentence. */
export async function driftProblems(root: string, generators: Generators): Promise<string[]> {
  const fresh = await mkdtemp(join(tmpdir(), "cloudvlan-drift-"));
  try {
    await generate(root, fresh, generators);
    const compared = GENERATED.map((path) => differences(path, join(root, path), join(fresh, path)));
    return (await Promise.all(compared)).flat();
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}
