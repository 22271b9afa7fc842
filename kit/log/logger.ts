import pino from "pino";
import { currentScope } from "../caller/scope.ts";
import { traceFields } from "../telemetry/trace.ts";
import type { Logger } from "./index.ts";
import { redactFields } from "./redact.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LoggerOptions {
  /** Written as `service` on each line. */
  readonly name: string;
  readonly level: LogLevel;
  /** Where lines go; standard error when absent, since standard output belongs to a command's answer. */
  readonly destination?: Destination;
  /** Gets each line too. */
  readonly copy?: Destination;
}

interface Destination {
  write(line: string): void;
}

/** Makes the logger of a process. Each line carries time (ISO 8601), level, the fields, and the request id and trace that it belongs to. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? pino.destination({ dest: 2, sync: true });
  const { copy } = options;
  const sink = pino(
    {
      level: options.level,
      base: { service: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: {},
      mixin: () => {
        const scope = currentScope();
        return { ...(scope && { request_id: scope.requestId }), ...traceFields() };
      },
    },
    copy === undefined ? destination : both(destination, copy),
  );
  return wrap(sink);
}

function both(one: Destination, other: Destination): Destination {
  return {
    write(line) {
      one.write(line);
      other.write(line);
    },
  };
}

function wrap(sink: pino.Logger): Logger {
  return {
    debug: (fields, message) => sink.debug(redactFields(fields), message),
    info: (fields, message) => sink.info(redactFields(fields), message),
    warn: (fields, message) => sink.warn(redactFields(fields), message),
    error: (fields, message) => sink.error(redactFields(fields), message),
    child: (fields) => wrap(sink.child(redactFields(fields))),
  };
}
