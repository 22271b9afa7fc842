/** A start that cannot go on: in which stage, and in words for whoever typed the command. */
export class StartFailure extends Error {
  readonly stage: string;

  constructor(stage: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.stage = stage;
  }
}

/** Names the stage in which something failed. */
export function failureOf(stage: string, error: unknown): StartFailure {
  if (error instanceof StartFailure) return error;
  return new StartFailure(stage, error instanceof Error ? error.message : String(error), error);
}
