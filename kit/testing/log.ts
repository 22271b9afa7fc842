import type { Logger } from "../log/index.ts";

/** A line of a log. */
export interface Line {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A logger for tests that look at nothing it says. */
export const silentLog: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silentLog };

/** A logger that keeps its lines. */
export function recordingLog(lines: Line[], inherited: object = {}): Logger {
  const at = (level: Line["level"]) => (fields: object, message: string) =>
    void lines.push({ level, fields: { ...inherited, ...fields }, message });
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => recordingLog(lines, { ...inherited, ...fields }),
  };
}

/** A logger that keeps the messages of errors. */
export function errorLog(errors: string[]): Logger {
  return { ...silentLog, error: (_fields, message) => void errors.push(message), child: () => errorLog(errors) };
}
