/** What a stage of the test run found. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** Full titles; each names what the machine lacks. */
  readonly skipped: readonly string[];
  /** What to show of the failures; empty when there are none. */
  readonly words: string;
}

/** Outcome of a check that lists problems. */
export function outcomeOf(problems: readonly string[]): Outcome {
  const failed = problems.length > 0;
  return { passed: failed ? 0 : 1, failed: failed ? 1 : 0, skipped: [], words: problems.join("\n") };
}

export function sum(outcomes: readonly Outcome[]): Outcome {
  return {
    passed: outcomes.reduce((total, { passed }) => total + passed, 0),
    failed: outcomes.reduce((total, { failed }) => total + failed, 0),
    skipped: outcomes.flatMap(({ skipped }) => skipped),
    words: outcomes
      .map(({ words }) => words)
      .filter(Boolean)
      .join("\n"),
  };
}
