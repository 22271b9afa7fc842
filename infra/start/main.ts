// `npm start`, after the set-up.
import { fileURLToPath } from "node:url";
import { runEnclosed, tetherToSupervisor } from "./enclosure.ts";
import { failureOf } from "./failure.ts";
import { parseOptions, type StartOptions, USAGE } from "./options.ts";
import type { Surroundings } from "./work.ts";

const { env } = process;
const enclosure = env["CLOUDVLAN_ENCLOSURE"] ?? "";
const startedMs = Number(env["CLOUDVLAN_STARTED_MS"] ?? performance.timeOrigin);
const root = env["CLOUDVLAN_ROOT"] === undefined ? process.getuid?.() === 0 : env["CLOUDVLAN_ROOT"] === "yes";
const stop = new AbortController();

async function supervise(): Promise<number> {
  const argv = [process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const inside = { ...env, CLOUDVLAN_STARTED_MS: String(startedMs), CLOUDVLAN_ROOT: root ? "yes" : "no" };
  return await runEnclosed(argv, root, inside, stop.signal);
}

function surroundings(json: boolean): Surroundings {
  return {
    env,
    node: process.execPath,
    startedMs,
    enclosure,
    root,
    say: (text) => void process.stderr.write(`${text}\n`),
    report: (result) => void (json && process.stdout.write(`${JSON.stringify(result)}\n`)),
    screen: { isTerminal: process.stdout.isTTY, write: (text) => void process.stdout.write(text) },
    stopped: new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve())),
  };
}

async function run(options: StartOptions, around: Surroundings): Promise<number> {
  if (options.demo && enclosure === "") return await supervise();
  if (enclosure !== "") tetherToSupervisor(() => process.exit(130));
  // The supervisor has no use for all that this loads.
  const { demonstrate, serve } = await import("./work.ts");
  await (options.demo ? demonstrate : serve)(options, around);
  return 0;
}

async function main(): Promise<number> {
  let options: StartOptions;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return 64;
  }
  // The end of a process in an enclosure is the end of everything in there; elsewhere there is something to end in order.
  const end = enclosure === "" ? () => stop.abort() : () => process.exit(130);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
  const around = surroundings(options.json);
  try {
    return await run(options, around);
  } catch (error) {
    const { stage, message } = failureOf("start", error);
    around.say(`failed in ${stage}: ${message}`);
    around.report({ ok: false, stage, error: message });
    return 1;
  }
}

process.exit(await main());
