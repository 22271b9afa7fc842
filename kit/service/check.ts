import { USES } from "../access/index.ts";
import { ConfigError, type ProcessConfig } from "../config/index.ts";
import { ownerOf } from "./clients.ts";
import type { ServiceDefinition } from "./index.ts";

/** The definitions that run in this process: those that no endpoint sends elsewhere. */
export function localDefinitions(
  definitions: readonly ServiceDefinition[],
  config: ProcessConfig,
): ServiceDefinition[] {
  const local = definitions.filter(({ name }) => config.endpoints[name] === undefined);
  if (local.length === 0) {
    const message = "every service runs elsewhere and none is left for this process; remove one";
    throw new ConfigError("configuration", [{ position: "", key: "endpoints", message }]);
  }
  const here = new Set(local.map(({ name }) => name));
  for (const { name, uses } of local) {
    const foreign = uses.find((service) => !USES[name].has(service.typeName));
    if (foreign) throw new Error(`${name} may not call ${foreign.typeName}; kit/access/uses.ts says what it may`);
    for (const owner of uses.map(ownerOf)) {
      if (here.has(owner) || config.endpoints[owner] !== undefined) continue;
      const message = `${name} calls ${owner}, which does not run here; say where it does`;
      throw new ConfigError("configuration", [{ position: "", key: `endpoints.${owner}`, message }]);
    }
  }
  return local;
}

/**
 * A service's own part of the configuration, with its defaults.
 * @throws ConfigError naming each key at fault.
 */
export function serviceConfig<C>(definition: ServiceDefinition<C>, config: ProcessConfig): C {
  const result = definition.config.safeParse(config.services[definition.name] ?? {});
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => ({
    position: "",
    key: ["services", definition.name, ...issue.path].map(String).join("."),
    message: issue.message,
  }));
  throw new ConfigError("configuration", problems);
}
