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
  /** Values of the verb's own options, by name. */
  readonly options: Readonly<Partial<Record<string, string>>>;
}

/**
 * Reads `WORD… --config FILE` and the options of a verb, each with a value.
 * @throws UsageError, ConfigError
 */
export function argumentsOf(argv: readonly string[], usage: string, own: readonly string[] = []): Arguments {
  const options = Object.fromEntries(["config", ...own].map((name) => [name, { type: "string" as const }]));
  let parsed: { values: Partial<Record<string, string>>; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\nusage: ${usage}`, {
      cause: error,
    });
  }
  const { config, ...values } = parsed.values;
  if (config === undefined) throw new UsageError(`name the configuration of the control plane\nusage: ${usage}`);
  const schemas = Object.fromEntries(services.map((service) => [service.name, service.config]));
  return { config: loadProcessConfig(config, schemas), words: parsed.positionals, options: values };
}
