/** What a row measures. */
export interface RowKind {
  readonly unit: string;
  readonly better: "less" | "more";
}

/** What came out for one row. */
export type RowResult =
  | {
      /** One figure a run; the line says their median. */
      readonly ours: readonly number[];
      /** By rival, one figure a run of the same rounds. */
      readonly rivals?: Readonly<Record<string, readonly number[]>>;
      /** What nothing can pass on this machine, one figure a run. */
      readonly ceiling?: readonly number[];
      /** Rivals that could not be measured, and why. */
      readonly skippedRivals?: Readonly<Record<string, string>>;
      /** Release of each rival and of what else the figure depends on. */
      readonly versions?: Readonly<Record<string, string>>;
      /** What else to know of the figure, by name. */
      readonly details?: Readonly<Record<string, number | string>>;
    }
  | { readonly skipped: string };

export interface BenchContext {
  readonly env: NodeJS.ProcessEnv;
  /** Path of the running Node. */
  readonly node: string;
  /** Rounds to run: few with `--quick`. */
  readonly rounds: number;
  readonly quick: boolean;
  /** True for a row that was asked for. */
  readonly wants: (row: string) => boolean;
  /** Words about progress. */
  readonly say: (text: string) => void;
}

export interface Benchmark {
  readonly name: string;
  readonly rows: Readonly<Record<string, RowKind>>;
  /** True when it builds networks: it then runs where nothing of the machine's own network can be touched. */
  readonly enclosed: boolean;
  /** Measures the rows that are wanted. Those that it does not answer are reported as skipped. */
  readonly run: (context: BenchContext) => Promise<Readonly<Record<string, RowResult>>>;
}

/** The middle of some figures. @throws Error when there are none */
export function median(figures: readonly number[]): number {
  return quantile(figures, 0.5);
}

/** @param part 0 up to 1; between two figures it is interpolated. @throws Error when there are none */
export function quantile(figures: readonly number[], part: number): number {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  if (below === undefined || above === undefined) throw new Error("there are no figures");
  return below + (above - below) * (at - Math.floor(at));
}
