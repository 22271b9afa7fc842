import { type Benchmark, median, type RowKind, type RowResult } from "./benchmark.ts";

const round = (figure: number): number => Number(figure.toPrecision(4));

function medians(by: Readonly<Record<string, readonly number[]>>): Record<string, number> {
  return Object.fromEntries(Object.entries(by).map(([name, figures]) => [name, round(median(figures))]));
}

function rowOf({ unit, better }: RowKind, result: RowResult): object {
  if ("skipped" in result) return { unit, better, skipped: result.skipped };
  const { ours, rivals = {}, versions = {}, ceiling = [], skippedRivals = {}, details } = result;
  return {
    unit,
    better,
    ours: round(median(ours)),
    rivals: medians(rivals),
    ...(Object.keys(skippedRivals).length > 0 && { rivals_skipped: skippedRivals }),
    versions,
    ...(ceiling.length > 0 && { ceiling: round(median(ceiling)) }),
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

const spread = (figures: readonly number[]): string =>
  `${round(median(figures))} [${round(Math.min(...figures))}-${round(Math.max(...figures))}]`;

/** The medians with the least and the most of each, as lines of text. */
export function tableOf(
  { rows }: Benchmark,
  wanted: readonly string[],
  results: Readonly<Record<string, RowResult>>,
): string[] {
  const told = wanted.flatMap((row) => (rows[row] ? [{ row, kind: rows[row], result: results[row] }] : []));
  const lines = told.map(({ row, kind, result }) => {
    if (!result || "skipped" in result) return [row, kind.unit, `skipped: ${result?.skipped ?? "it was not measured"}`];
    const rivals = Object.entries(result.rivals ?? {}).map(([name, figures]) => `${name} ${spread(figures)}`);
    const ceiling = result.ceiling ? [`ceiling ${spread(result.ceiling)}`] : [];
    return [row, kind.unit, `ours ${spread(result.ours)}`, ...rivals, ...ceiling];
  });
  const width = (column: number): number => Math.max(0, ...lines.map((line) => line[column]?.length ?? 0));
  const widths = Array.from({ length: Math.max(0, ...lines.map((line) => line.length)) }, (_, column) => width(column));
  return lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
