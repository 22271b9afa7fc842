import type { Lab } from "@cloudvlan/test/lab";
import type { BenchContext, RowResult } from "../benchmark.ts";
import { type Implementation, type Missing, OURS } from "./implementations.ts";
import { becomesQuiet, QUIET_CORES } from "./quiet.ts";

/** How long a round waits for a quiet machine, and all rounds of a run together. */
const PATIENCE_MS = 15_000;
const PATIENCE_OF_ALL_MS = 180_000;

/** What the rows have in common. */
export interface Rig {
  readonly context: BenchContext;
  readonly lab: Lab;
  /** Path of `cvlan-lab`. */
  readonly tools: string;
  /** For logs and configurations. */
  readonly folder: string;
  readonly present: readonly Implementation[];
  readonly missing: readonly Missing[];
  /** Milliseconds of waiting for quiet that are left to this run. */
  patienceMs: number;
}

export const PATIENCE = PATIENCE_OF_ALL_MS;

/** Figures of one implementation in one round, by what they tell. */
export type Figures = Readonly<Record<string, number>>;

/** Rows that are measured together. */
export interface Measurement {
  readonly rows: readonly string[];
  readonly run: (rig: Rig) => Promise<Readonly<Record<string, RowResult>>>;
}

interface Round {
  readonly quiet: boolean;
  readonly figures: ReadonlyMap<string, Figures>;
}

export type Details = Readonly<Record<string, number | string>>;

/** What interleaved rounds gave. */
export interface Taken {
  /**
   * Figures of an implementation or a control, one a round.
   * @param beyond a control whose figure of the same round is taken off
   */
  of(name: string, figure: string, beyond?: string): number[];
  /** The row of a figure. */
  row(figure: string, options?: { readonly details?: Details; readonly beyond?: string }): RowResult;
}

async function quietBy(rig: Rig): Promise<boolean> {
  const began = performance.now();
  const quiet = await becomesQuiet(Math.min(PATIENCE_MS, rig.patienceMs));
  rig.patienceMs = Math.max(0, rig.patienceMs - (performance.now() - began));
  return quiet;
}

function chosen(rounds: readonly Round[], wanted: number): Round[] {
  // The sort is stable: quiet rounds first, else as they came.
  return rounds.toSorted((a, b) => Number(b.quiet) - Number(a.quiet)).slice(0, wanted);
}

/** A control is measured as an implementation is, and is none. */
export interface Contestant {
  readonly name: string;
  readonly measure: () => Promise<Figures>;
}

/**
 * Measures all contestants in turn, forwards and backwards by turns (A B C C B A), until there are enough rounds that the
 * machine was quiet before and after. A round on a busy machine is refused; after twice the rounds, those fill up what is
 * missing, and the row says how many. Who fails is out of the row, with the reason.
 */
export async function interleaved(
  rig: Rig,
  what: string,
  contestants: readonly Contestant[],
  wanted = rig.context.rounds,
): Promise<Taken> {
  const { say } = rig.context;
  const failed = new Map<string, string>();
  const rounds: Round[] = [];
  const quietRounds = (): number => rounds.filter(({ quiet }) => quiet).length;
  for (let n = 0; quietRounds() < wanted && n < 2 * wanted; n++) {
    const before = await quietBy(rig);
    const figures = new Map<string, Figures>();
    for (const { name, measure } of n % 2 === 0 ? contestants : contestants.toReversed()) {
      if (failed.has(name)) continue;
      try {
        figures.set(name, await measure());
      } catch (error) {
        failed.set(name, error instanceof Error ? error.message : String(error));
        say(`${what}: ${name} is out: ${failed.get(name)}`);
      }
    }
    const quiet = before && (await becomesQuiet(0));
    rounds.push({ quiet, figures });
    const told = [...figures].map(([name, one]) => `${name} ${Object.values(one).map(short).join("/")}`).join(", ");
    say(`${what}: ${told}${quiet ? "" : `; others kept more than ${QUIET_CORES} of a core busy: refused`}`);
    // Nobody will be quiet any more: what was taken has to do.
    if (rig.patienceMs === 0 && rounds.length >= wanted) break;
  }
  const kept = chosen(rounds, wanted);
  return takenFrom(rig, kept, failed);
}

const short = (figure: number): string => String(Number(figure.toPrecision(3)));

function takenFrom(rig: Rig, kept: readonly Round[], failed: ReadonlyMap<string, string>): Taken {
  const busy = kept.filter(({ quiet }) => !quiet).length;
  const of: Taken["of"] = (name, figure, beyond) =>
    kept.flatMap(({ figures }) => {
      const one = figures.get(name)?.[figure];
      const base = beyond === undefined ? 0 : figures.get(beyond)?.[figure];
      return one === undefined || base === undefined ? [] : [one - base];
    });
  const row: Taken["row"] = (figure, { details, beyond } = {}) => {
    const ours = of(OURS, figure, beyond);
    if (ours.length === 0) return { skipped: failed.get(OURS) ?? "it was not measured" };
    const others = rig.present.filter(({ name }) => name !== OURS && of(name, figure, beyond).length > 0);
    const out = [...failed].filter(([name]) => rig.present.some((each) => each.name === name));
    const missing = rig.missing.map(({ name, skipped }) => [name, skipped] as const);
    return {
      ours,
      rivals: Object.fromEntries(others.map(({ name }) => [name, of(name, figure, beyond)])),
      versions: Object.fromEntries(others.flatMap(({ name, version }) => (version ? [[name, version]] : []))),
      skippedRivals: Object.fromEntries([...out, ...missing]),
      details: { ...details, ...(busy > 0 && { rounds_beside_other_load: busy }) },
    };
  };
  return { of, row };
}
