import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { enclosed, run } from "@cloudvlan/test/lab";
import { type Outcome, sum } from "./outcome.ts";

/** Files in one process: an embedded database keeps its memory until the process ends. */
const FILES_PER_PROCESS = 4;
/** Processes at once, on two processors: most tests wait a lot. */
const AT_ONCE = 2;
/** A process that does not end by itself has left something open. */
const CEILING_MS = 15 * 60_000;
const TAIL_CHARACTERS = 6_000;
/** What a skipped test must say in its title. */
const NEEDS = /\bneeds\b/;
/** Suites that build networks: they run where nothing of the machine's own network can be touched. */
const ENCLOSED = ["test/e2e", "test/interop", "test/chaos"];

interface MochaTest {
  readonly fullTitle: string;
  readonly err: { readonly stack?: string; readonly message?: string };
}

interface MochaReport {
  readonly passes: readonly MochaTest[];
  readonly failures: readonly MochaTest[];
  readonly pending: readonly MochaTest[];
}

/** Test files of a folder of the clone, in order. */
async function testsOf(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => path.endsWith(".test.ts") && !path.includes("node_modules"))
    .toSorted((a, b) => a.localeCompare(b));
}

/** Folders that hold suites. */
export async function suiteFolders(root: string): Promise<string[]> {
  const below = async (folder: string): Promise<string[]> => {
    const entries = await readdir(join(root, folder), { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
      .map(({ name }) => `${folder}/${name}`);
  };
  return ["kit", ...(await below("services")), "agent", "cli", "infra", "bench", ...(await below("test"))];
}

function outcomeOfReport(report: MochaReport): Outcome {
  const reasonless = report.pending.filter(({ fullTitle }) => !NEEDS.test(fullTitle));
  const failures = [
    ...report.failures.map(({ fullTitle, err }) => `${fullTitle}\n${err.stack ?? err.message ?? ""}`),
    ...reasonless.map(({ fullTitle }) => `${fullTitle}\nis skipped and its title does not say what the machine needs`),
  ];
  return {
    passed: report.passes.length,
    failed: failures.length,
    skipped: report.pending.filter((test) => !reasonless.includes(test)).map(({ fullTitle }) => fullTitle),
    words: failures.join("\n\n"),
  };
}

async function runFiles(root: string, files: readonly string[], enclose: boolean): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "cloudvlan-mocha-"));
  try {
    const output = join(folder, "report.json");
    const mocha = join(root, "node_modules/mocha/bin/mocha.js");
    const argv = [process.execPath, mocha, "--reporter", "json", "--reporter-option", `output=${output}`, ...files];
    const as = process.getuid?.() === 0 ? "root" : "same-user";
    const ended = await run(enclose ? enclosed(argv, { as, net: true }) : argv, {
      cwd: root,
      signal: AbortSignal.timeout(CEILING_MS),
    });
    const tail = `${ended.stdout}\n${ended.stderr}`.trim().slice(-TAIL_CHARACTERS);
    const text = await readFile(output, "utf8").catch(() => undefined);
    const outcome = text === undefined ? undefined : outcomeOfReport(JSON.parse(text) as MochaReport);
    if (outcome && (ended.code === 0 || outcome.failed > 0)) return outcome;
    const why =
      ended.code === undefined ? `it did not end within ${CEILING_MS / 60_000} minutes` : `exit ${ended.code}`;
    const broken = { passed: 0, failed: 1, skipped: [], words: `${files.join(" ")}: ${why}\n${tail}` };
    return outcome ? sum([outcome, broken]) : broken;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs the suites of a folder, a few files in a process; where each has a network of its own, one. */
export async function runSuites(root: string, folder: string): Promise<Outcome> {
  const files = await testsOf(root, folder);
  const enclose = ENCLOSED.includes(folder);
  const waiting = batchesOf(files, enclose ? 1 : FILES_PER_PROCESS).entries();
  const outcomes: Outcome[] = [];
  const work = async (): Promise<void> => {
    for (const [position, batch] of waiting) outcomes[position] = await runFiles(root, batch, enclose);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return sum(outcomes);
}

function batchesOf(files: readonly string[], size: number): string[][] {
  return Array.from({ length: Math.ceil(files.length / size) }, (_, at) => files.slice(at * size, (at + 1) * size));
}
