// `npm run bench`, after the set-up. Words go to standard error, the one line of figures to standard output.
import { spawnSync } from "node:child_process";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { enclosed } from "@cloudvlan/test/lab";
import type { BenchContext } from "./benchmark.ts";
import { firstPing } from "./first-ping.ts";
import { idle } from "./idle.ts";
import { type BenchOptions, optionsOf, USAGE } from "./options.ts";
import { propagate } from "./propagate.ts";
import { reportOf, tableOf } from "./report.ts";
import { wg } from "./wg/index.ts";

const ROUNDS = 7;
const QUICK_ROUNDS = 3;
const { env } = process;

const load = (): number => loadavg()[0] ?? 0;

function inEnclosure(): number {
  const as = process.getuid?.() === 0 ? "root" : "same-user";
  const self = [process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const [program = "", ...args] = enclosed(self, { as, net: true });
  return spawnSync(program, args, { stdio: "inherit" }).status ?? 1;
}

async function measure({ benchmark, rows, quick }: BenchOptions): Promise<void> {
  const before = load();
  const context: BenchContext = {
    env,
    node: process.execPath,
    rounds: quick ? QUICK_ROUNDS : ROUNDS,
    quick,
    wants: (row) => rows.includes(row),
    say: (text) => void process.stderr.write(`${text}\n`),
  };
  const results = await benchmark.run(context);
  for (const line of tableOf(benchmark, rows, results)) context.say(line);
  process.stdout.write(`${JSON.stringify(reportOf(benchmark, rows, results, [before, load()]))}\n`);
}

async function main(): Promise<number> {
  let options: BenchOptions;
  try {
    options = optionsOf(process.argv.slice(2), [firstPing, idle, propagate, wg]);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
    return 64;
  }
  if (options.benchmark.enclosed && env["CLOUDVLAN_ENCLOSURE"] === undefined) return inEnclosure();
  await measure(options);
  return 0;
}

process.exit(await main());
