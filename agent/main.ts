import { systemClock } from "@cloudvlan/kit/clock";
import { ConfigError } from "@cloudvlan/kit/config";
import { createLogger } from "@cloudvlan/kit/log";
import { startTelemetry } from "@cloudvlan/kit/telemetry";
import packageJson from "./package.json" with { type: "json" };
import { restoreResolver, runAgent, stopEngine } from "./agent.ts";
import { readInvocation, USAGE } from "./config.ts";
import { explainError } from "./state/problems.ts";
import { recentLines } from "./state/recent.ts";

const stop = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort());
try {
  const { config, only } = readInvocation(process.argv.slice(2));
  const recent = recentLines();
  const log = createLogger({ name: "cvlan-agent", level: config.log_level, copy: recent });
  if (only === "stop-engine") await stopEngine(config, systemClock);
  else if (only === "restore-host") await restoreResolver(config, systemClock);
  else {
    const { version } = packageJson;
    const of = { serviceName: "cvlan-agent", version, clock: systemClock, log };
    await using telemetry = await startTelemetry(config.telemetry, of);
    await runAgent(config, { clock: systemClock, log, version, telemetry, recent }, stop.signal);
  }
  process.exit(0);
} catch (error) {
  const { message, remedy } = explainError(error);
  process.stderr.write(`${message}${remedy && `; ${remedy}`}\n${error instanceof ConfigError ? USAGE : ""}`);
  process.exit(error instanceof ConfigError ? 64 : 1);
}
