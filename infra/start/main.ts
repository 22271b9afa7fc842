// `npm start`, after the set-up.
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "@cloudvlan/kit/clock";
import { runDemo } from "./demo.ts";
import { runEnclosed, tetherToSupervisor } from "./enclosure.ts";
import { failureOf } from "./failure.ts";
import { parseOptions, type StartOptions, USAGE } from "./options.ts";
import { programsOf } from "./programs.ts";
import { instructions, runReal } from "./real.ts";
import { hints, showDemo } from "./screen.ts";
import { createStages } from "./stages.ts";

const { env } = process;
const root = process.getuid?.() === 0;
const enclosure = env["CLOUDVLAN_ENCLOSURE"];
/** When the first of our processes began, milliseconds since the Unix epoch. */
const startedMs = Number(env["CLOUDVLAN_STARTED_MS"] ?? performance.timeOrigin);
const stop = new AbortController();
const stopped = new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve()));

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function report(options: StartOptions, result: object): void {
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
}

async function supervise(): Promise<number> {
  const self = fileURLToPath(import.meta.url);
  const child = { ...env, CLOUDVLAN_STARTED_MS: String(startedMs), CLOUDVLAN_ROOT: root ? "yes" : "no" };
  return await runEnclosed([process.execPath, self, ...process.argv.slice(2)], root, child, stop.signal);
}

async function demonstrate(options: StartOptions, supervisedByRoot: boolean): Promise<number> {
  const stages = createStages((name) => say(`… ${name}`));
  const programs = programsOf(env, process.execPath);
  const demo = await runDemo(programs, stages);
  const firstPing = Math.round(performance.timeOrigin + demo.firstPingAt - startedMs);
  say(`two machines that did not know each other ping through an encrypted overlay; first ping after ${firstPing} ms`);
  if (options.once) {
    await demo.lab.close();
    report(options, { ok: true, first_ping_ms: firstPing, stages: stages.times });
    return 0;
  }
  const below = await hints(demo, programs, enclosure ?? "", supervisedByRoot);
  const screen = { isTerminal: process.stdout.isTTY, write: (text: string) => void process.stdout.write(text) };
  return await showDemo(demo, below, screen, () => systemClock.nowMs());
}

async function serve(options: StartOptions): Promise<number> {
  const stages = createStages((name) => say(`… ${name}`));
  const folder = join(env["XDG_DATA_HOME"] || join(homedir(), ".local", "share"), "cloudvlan");
  const programs = programsOf(env, process.execPath);
  const control = await runReal(folder, programs, stages);
  try {
    say(instructions(control, fileURLToPath(new URL("../../cli/bin/cvlan", import.meta.url))).join("\n"));
    report(options, { ok: true, url: control.url, ca_sha256: control.caSha256, stages: stages.times });
    if (!options.once) await Promise.race([stopped, control.ended]);
  } finally {
    await control.stop();
  }
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
  // Ending this process ends everything in the enclosure; outside of it there is something to end in order.
  const end = enclosure === undefined ? () => stop.abort() : () => process.exit(130);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
  try {
    if (!options.demo) return await serve(options);
    if (enclosure === undefined) return await supervise();
    tetherToSupervisor(end);
    return await demonstrate(options, env["CLOUDVLAN_ROOT"] === "yes");
  } catch (error) {
    const { stage, message } = failureOf("start", error);
    say(`failed in ${stage}: ${message}`);
    report(options, { ok: false, stage, error: message });
    return 1;
  }
}

process.exit(await main());
