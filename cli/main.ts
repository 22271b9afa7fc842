import { homedir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@cloudvlan/kit/clock";
import { runCli } from "./program.ts";
import { readBounded } from "./stdin.ts";

const stop = new AbortController();
process.once("SIGINT", () => stop.abort());
process.exitCode = await runCli(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  stdin: async (maxBytes) => (process.stdin.isTTY ? undefined : await readBounded(process.stdin, maxBytes)),
  terminal: process.stdout.isTTY,
  clock: systemClock,
  configHome: process.env.XDG_CONFIG_HOME ?? join(homedir(), ".config"),
  collector: process.env.OTEL_EXPORTER_OTLP_ENDPOINT,
  signal: stop.signal,
});
