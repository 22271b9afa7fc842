export { createLogger, type LoggerOptions, type LogLevel } from "./logger.ts";
export { loggable, redactFields } from "./redact.ts";

/** Structured logs: one JSON object a line. Secrets are redacted by field name; addresses of people stay below `info`. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}
