import type { Clock } from "@cloudvlan/kit/clock";

/** Everything of the process that a command may touch. */
export interface Io {
  /** Answers; what a pipe reads. */
  out(text: string): void;
  /** Words to a person, and errors. */
  err(text: string): void;
  /** Standard input whole; undefined when it is a terminal. */
  stdin(maxBytes: number): Promise<string | undefined>;
  /** True when a person looks at standard output. */
  readonly terminal: boolean;
  readonly clock: Clock;
  /** Folder of user configuration, for example `~/.config`. */
  readonly configHome: string;
  /** Base URL of an OpenTelemetry collector that is told of the command; empty or undefined: nobody is. */
  readonly collector?: string | undefined;
  /** Aborts on SIGINT. */
  readonly signal: AbortSignal;
}
