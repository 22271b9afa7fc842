import { type Benchmark, median, type RowKind, type RowResult } from "./benchmark.ts";

const round = (figure: number): number => Number(figure.toPrecision(4));

function medians(by: Readonly<Record<string, readonly number[]>>): Record<string, number> {
  return Object.fromEntries(Object.entries(by).map(([name, figures]) => [name, round(median(figures))]));
}

function rowOf({ unit, better }: RowKind, result: RowResult): object {
  if ("skipped" in result) return { unit, better, skipped: result.skipped };
  const { ours, rivals = {}, versions = {}, details } = result;
  return {
    unit,
    better,
    ours: round(median(ours)),
    rivals: medians(rivals),
    versions,
    runs: ours.length,
    ...(details && { details }),
  };
}

/**
 * The line that a benchmark ends with.
 * @param load the machine's load average of one minute, before and after
 */
export function reportOf(
  { name, rows }: Benchmark,
  wanted: readonly string[],
  results: Readonly<Record<string, RowResult>>,
  load: readonly [number, number],
): object {
  const told = wanted.flatMap((row) => {
    const kind = rows[row];
    return kind ? [[row, rowOf(kind, results[row] ?? { skipped: "it was not measured" })] as const] : [];
  });
  return { bench: name, rows: Object.fromEntries(told), load: load.map(round) };
}
