import { parseArgs } from "node:util";
import type { Benchmark } from "./benchmark.ts";

export const USAGE = "usage: npm run bench -- NAME [--rows ROW,ROW...] [--quick]";

export interface BenchOptions {
  readonly benchmark: Benchmark;
  readonly rows: readonly string[];
  readonly quick: boolean;
}

/** @throws Error that says what there is, for a name that is not known */
export function optionsOf(argv: readonly string[], benchmarks: readonly Benchmark[]): BenchOptions {
  const { positionals, values } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { rows: { type: "string" }, quick: { type: "boolean", default: false } },
  });
  const [name, ...others] = positionals;
  const benchmark = benchmarks.find((candidate) => candidate.name === name);
  if (!benchmark || others.length > 0) {
    throw new Error(`name one benchmark of ${benchmarks.map((known) => known.name).join(", ")}`);
  }
  const known = Object.keys(benchmark.rows);
  const rows = values.rows?.split(",") ?? known;
  const unknown = rows.find((row) => !known.includes(row));
  if (unknown !== undefined)
    throw new Error(`${benchmark.name} has no row ${unknown}; its rows are ${known.join(", ")}`);
  return { benchmark, rows, quick: values.quick };
}
