import { parseArgs } from "node:util";
import { loadProcessConfig, type ProcessConfig } from "@cloudvlan/kit/config";
import { services } from "../compose.ts";

/** Something that is done offline. */
export interface Verb {
  readonly usage: string;
  /**
   * @param argv what stands behind the verb.
   * @returns what to tell the operator.
   * @throws UsageError, ConfigError, or Refusal for what cannot be done now.
   */
  run(argv: readonly string[]): Promise<string>;
}

/** What is wrong with how a verb was called. */
export class UsageError extends Error {}

export interface Arguments {
  readonly config: ProcessConfig;
  readonly words: readonly string[];
}

/** Reads `WORD… --config FILE`. @throws UsageError, ConfigError */
export function argumentsOf(argv: readonly string[], usage: string): Arguments {
  let parsed: { values: { config?: string | undefined }; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...argv], options: { config: { type: "string" } }, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\nusage: ${usage}`, {
      cause: error,
    });
  }
  const { config } = parsed.values;
  if (config === undefined) throw new UsageError(`name the configuration of the control plane\nusage: ${usage}`);
  const schemas = Object.fromEntries(services.map((service) => [service.name, service.config]));
  return { config: loadProcessConfig(config, schemas), words: parsed.positionals };
}
