export { ConfigError, type ConfigProblem } from "./error.ts";
export { parseConfig } from "./parse.ts";
export {
  type IdentityFiles,
  loadProcessConfig,
  type ProcessConfig,
  processConfigSchema,
  type ServiceSchemas,
} from "./process.ts";
export { readConfigFile, readSecretFile } from "./files.ts";
