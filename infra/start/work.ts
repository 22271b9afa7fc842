import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "@cloudvlan/kit/clock";
import { loudLines } from "../site/loud.ts";
import { runDemo } from "./demo.ts";
import type { StartOptions } from "./options.ts";
import { shippedPrograms } from "./programs.ts";
import { instructions, runReal } from "./real.ts";
import { hints, type Screen, showDemo } from "./screen.ts";
import { createStages } from "./stages.ts";
import { type Mode, modeOf } from "./userspace.ts";

const WORDS: Readonly<Record<Mode, string>> = {
  tun: "through TUN interfaces",
  userspace: "through network stacks of their engines, and carry TCP by a proxy and UDP by a port forward",
};

/** What a start is given by its process. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  /** Path of the running Node. */
  readonly node: string;
  /** When the first process of this start began, milliseconds since the Unix epoch. */
  readonly startedMs: number;
  /** Process id of the enclosure seen from outside; empty when there is none. */
  readonly enclosure: string;
  /** True when the enclosure was made by root. */
  readonly root: boolean;
  /** Words about progress. */
  say(text: string): void;
  /** The one line of `--json`. */
  report(result: object): void;
  readonly screen: Screen;
  /** Resolves when somebody asks for the end. */
  readonly stopped: Promise<void>;
}

/** Runs the demonstration inside its enclosure. */
export async function demonstrate(options: StartOptions, around: Surroundings): Promise<void> {
  const stages = createStages((name) => around.say(`… ${name}`));
  const programs = shippedPrograms(around.env, around.node);
  const mode = modeOf(options.userspace);
  const demo = await runDemo(programs, stages, mode);
  const firstPing = Math.round(performance.timeOrigin + demo.firstPingAt - around.startedMs);
  around.say(
    `two machines that did not know each other ping over an encrypted overlay, ${WORDS[mode]}; first ping after ${firstPing} ms`,
  );
  if (options.once) {
    const warnings = await loudLines(demo.folder);
    await demo.lab.close();
    if (warnings.length > 0)
      around.say(`${warnings.length} lines of WARN and above in the logs:\n${warnings.join("\n")}`);
    around.report({ ok: true, mode, first_ping_ms: firstPing, stages: stages.times, warnings });
    return;
  }
  const below = await hints(demo, programs, around.enclosure, around.root);
  await showDemo(demo, below, around.screen, () => systemClock.nowMs());
}

/** Runs the control plane for real use. */
export async function serve(options: StartOptions, around: Surroundings): Promise<void> {
  const stages = createStages((name) => around.say(`… ${name}`));
  const folder = join(around.env["XDG_DATA_HOME"] || join(homedir(), ".local", "share"), "cloudvlan");
  const control = await runReal(folder, shippedPrograms(around.env, around.node), stages);
  try {
    around.say(instructions(control, fileURLToPath(new URL("../../cli/bin/cvlan", import.meta.url))).join("\n"));
    around.report({ ok: true, url: control.url, ca_sha256: control.caSha256, stages: stages.times });
    if (!options.once) {
      const died = control.ended.then(() =>
        Promise.reject(new Error("the control plane ended by itself; its log says why")),
      );
      await Promise.race([around.stopped, died]);
    }
  } finally {
    await control.stop();
  }
}
