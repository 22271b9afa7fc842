import { parseArgs } from "node:util";
import { systemClock } from "../clock/index.ts";
import { ConfigError, loadProcessConfig } from "../config/index.ts";
import { Refusal } from "../errors/index.ts";
import { createLogger } from "../log/index.ts";
import { startTelemetry } from "../telemetry/index.ts";
import packageJson from "../package.json" with { type: "json" };
import { localDefinitions } from "./check.ts";
import { compose } from "./compose.ts";
import type { ServiceDefinition } from "./index.ts";

/** Exit codes of sysexits.h. */
const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const EX_SOFTWARE = 70;
const EX_TEMPFAIL = 75;

const USAGE = "usage: node main.ts --config FILE";

function configFile(): string {
  let file: string | undefined;
  try {
    file = parseArgs({ options: { config: { type: "string" } }, strict: true }).values.config;
  } catch (error) {
    throw new ConfigError(USAGE, [{ position: "", key: "", message: error instanceof Error ? error.message : "" }]);
  }
  if (file === undefined) throw new ConfigError(USAGE, [{ position: "", key: "--config", message: "name the file" }]);
  return file;
}

function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EX_USAGE;
  if (!(error instanceof Refusal)) return EX_SOFTWARE;
  return error.reason === "LISTEN" ? EX_UNAVAILABLE : EX_TEMPFAIL;
}

function lineOf(error: unknown): string {
  if (error instanceof Refusal) {
    const { field, remedy } = error.detail;
    return [...(field === undefined ? [] : [field]), error.message, ...(remedy === undefined ? [] : [remedy])].join(
      ": ",
    );
  }
  if (error instanceof ConfigError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** `service.name` of the spans: a service by itself says which it is. */
function serviceNameOf(local: readonly ServiceDefinition[]): string {
  const [only, ...others] = local;
  return only && others.length === 0 ? `cloudvlan-${only.name}` : "cloudvlan";
}

/**
 * Runs services until SIGTERM or SIGINT, then drains; a second signal ends at once. Exits 0 after a drain, 64 for a
 * configuration that is wrong, 69 for an address that cannot be had, 75 for a store or CA that cannot be reached yet.
 */
export async function run(definitions: readonly ServiceDefinition[]): Promise<void> {
  try {
    const schemas = Object.fromEntries(definitions.map(({ name, config }) => [name, config]));
    const config = loadProcessConfig(configFile(), schemas);
    const log = createLogger({ name: "cloudvlan", level: config.log_level });
    const telemetry = await startTelemetry(config.telemetry, {
      serviceName: serviceNameOf(localDefinitions(definitions, config)),
      version: packageJson.version,
      clock: systemClock,
      log,
    });
    const composition = await compose(definitions, config, { log });
    let signals = 0;
    const stop = (signal: NodeJS.Signals): void => {
      signals += 1;
      if (signals > 1) process.exit(EX_SOFTWARE);
      log.info({ signal }, "draining");
      composition
        .close()
        .then(() => telemetry[Symbol.asyncDispose]())
        .then(
          () => process.exit(0),
          (error: unknown) => {
            log.error({ error }, "the end was not clean");
            process.exit(EX_SOFTWARE);
          },
        );
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
  } catch (error) {
    process.stderr.write(`${lineOf(error)}\n`);
    process.exit(exitCodeOf(error));
  }
}
