import { readdir, readFile } from "node:fs/promises";
import { dirname, join, normalize, sep } from "node:path";

const SOURCES = ["kit", "services", "agent", "cli", "infra", "test", "bench"];
const SPECIFIER = /^(?:import|export)\b(?:[^"';=]*\bfrom)?\s*"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;

/** Parts of the repository that each part may import, besides itself (DESIGN: who may import whom). */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  gen: [],
  kit: ["gen"],
  auth: ["gen", "kit"],
  registry: ["gen", "kit"],
  policy: ["gen", "kit"],
  netmap: ["gen", "kit"],
  all: ["gen", "kit", "auth", "registry", "policy", "netmap"],
  agent: ["gen", "kit"],
  cli: ["gen", "kit"],
  infra: ["gen", "kit", "test"],
  bench: ["gen", "kit", "auth", "registry", "policy", "netmap", "all", "agent", "cli", "infra", "test"],
  test: ["gen", "kit", "auth", "registry", "policy", "netmap", "all", "agent", "cli", "infra"],
};

/** What tests may import beside what their part may: the programs they start and the lab they start them in. */
const TESTS_MAY_IMPORT: readonly string[] = ["infra", "test"];

/** Parts of kit that may be imported from outside of it by a part that is kept lean. */
const KIT_FOR: Readonly<Record<string, readonly string[]>> = {
  cli: ["client", "clock", "config", "diagnose", "errors", "ids", "net", "pki", "telemetry"],
};

/** What the pure core of a service keeps away from: input, output, time and other people's failures. */
const NOT_IN_DOMAIN =
  /^(node:(fs|http|https|http2|tls|dgram|child_process)|drizzle-orm|pg|@connectrpc\/|@cloudvlan\/kit\/(db|server|client|service|log|changes|audit))/;

/** The part of the repository that a file belongs to: its workspace. */
function partOf(path: string): string {
  const [first = "", second = ""] = path.split(sep);
  return first === "services" ? second : first;
}

function targetOf(file: string, specifier: string): { part: string; crosses: boolean } | undefined {
  if (specifier.startsWith(".")) {
    const part = partOf(normalize(join(dirname(file), specifier)));
    return { part, crosses: part !== partOf(file) };
  }
  const [scope, name] = specifier.split("/");
  return scope === "@cloudvlan" && name !== undefined ? { part: name, crosses: false } : undefined;
}

function problemOf(file: string, specifier: string): string | undefined {
  const part = partOf(file);
  const segments = file.split(sep);
  if (segments.includes("domain") && !segments.includes("test") && NOT_IN_DOMAIN.test(specifier)) {
    return `${file} imports ${specifier}: a domain folder does no input or output`;
  }
  const target = targetOf(file, specifier);
  if (!target) return undefined;
  if (target.crosses) return `${file} imports ${specifier}: reach another part by its package name, not by a path`;
  const isTest = segments.includes("test") || segments.includes("testing");
  const allowedParts = [part, ...(MAY_IMPORT[part] ?? []), ...(isTest ? TESTS_MAY_IMPORT : [])];
  if (!allowedParts.includes(target.part)) {
    return `${file} imports ${specifier}: ${part} may import ${allowedParts.join(", ")}`;
  }
  if (target.part === "kit" && !isTest) {
    const module = specifier.split("/")[2] ?? "";
    if (module === "testing") return `${file} imports ${specifier}: only tests may`;
    const allowed = KIT_FOR[part];
    if (allowed && !allowed.includes(module))
      return `${file} imports ${specifier}: ${part} may import kit/${allowed.join(", kit/")}`;
  }
  return undefined;
}

async function sourcesOf(root: string): Promise<string[]> {
  const files: string[] = [];
  for (const folder of SOURCES) {
    for (const entry of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name).slice(root.length + 1);
      if (entry.isFile() && /\.m?ts$/.test(path) && !path.includes("node_modules")) files.push(path);
    }
  }
  return files.toSorted((a, b) => a.localeCompare(b));
}

/** Imports of a clone that go against the direction; each one a sentence. */
export async function importProblems(root: string): Promise<string[]> {
  const problems: string[] = [];
  for (const file of await sourcesOf(root)) {
    const text = await readFile(join(root, file), "utf8");
    for (const [, declared, dynamic] of text.matchAll(SPECIFIER)) {
      const problem = problemOf(file, declared ?? dynamic ?? "");
      if (problem !== undefined) problems.push(problem);
    }
  }
  return problems;
}
