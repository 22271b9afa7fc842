/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** `line:column`, 1-based; empty when the whole file is at fault. */
  readonly position: string;
  /** Dotted path of the key; empty for the whole file. */
  readonly key: string;
  /** What is wrong and what to do. */
  readonly message: string;
}

/** A configuration that cannot be used. Its message has one line a problem: `file:line:column: key: what and remedy`. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[]) {
    super(problems.map((problem) => describe(file, problem)).join("\n"));
    this.problems = problems;
  }
}

function describe(file: string, { position, key, message }: ConfigProblem): string {
  return [position === "" ? file : `${file}:${position}`, ...(key === "" ? [] : [key]), message].join(": ");
}
