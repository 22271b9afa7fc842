// Brings what `npm start` and `npm test` need, then runs them under the pinned Node. Node 20 or newer, no dependencies.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { SetupFailure } from "./failure.mjs";
import { cache, pinnedNode, root } from "./paths.mjs";
import { createProgress } from "./progress.mjs";
import { bundles, engine, npmPackages, stepCa, wireguardGo } from "./steps.mjs";
import { requireTools } from "./tools.mjs";

const PROGRAMS = { start: "infra/start/main.ts", test: "infra/setup/test.ts" };

async function prepare(command) {
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch)) {
    throw new SetupFailure(`CloudVLAN runs on Linux, x64 or arm64; this is ${process.platform} ${process.arch}`);
  }
  // An ordinary user's path often lacks the folders of ip and sysctl.
  process.env.PATH = `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`;
  try {
    mkdirSync(cache, { recursive: true });
  } catch (error) {
    throw new SetupFailure(`cannot write ${cache} (${error.code}); set XDG_CACHE_HOME to a folder of yours`);
  }
  await requireTools(command);
  const progress = createProgress();
  try {
    const forTests = command === "test" ? [wireguardGo(progress)] : [];
    const packages = npmPackages(progress).then(() => bundles(progress));
    const made = await Promise.allSettled([packages, stepCa(progress), engine(progress), ...forTests]);
    const failure = made.find((result) => result.status === "rejected");
    if (failure) throw failure.reason;
    const [bundled, ca, built, wireguard] = made.map((result) => result.value);
    return {
      CLOUDVLAN_STEP_CA: ca,
      ...(wireguard && { CLOUDVLAN_WIREGUARD_GO: wireguard }),
      CLOUDVLAN_BUNDLES: bundled,
      CLOUDVLAN_ENGINE: join(built.folder, "cvlan-engine"),
      CLOUDVLAN_LAB: join(built.folder, "cvlan-lab"),
      CARGO_TARGET_DIR: built.target,
      NODE_COMPILE_CACHE: join(cache, "node"),
      PATH: `${join(root, "node_modules", ".bin")}:${process.env.PATH}`,
    };
  } finally {
    progress.close();
  }
}

/** Runs the program and takes its end for ours; a signal to us is one to it. */
function become(program, args, env) {
  const child = spawn(pinnedNode, [join(root, program), ...args], {
    env: { ...process.env, ...env },
    stdio: "inherit",
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    // A terminal signals the whole foreground group itself; a second SIGINT of ours would cut the child's clean-up short.
    process.on(signal, () => (signal === "SIGINT" && process.stdin.isTTY ? undefined : child.kill(signal)));
  }
  child.once("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));
}

const [command, ...args] = process.argv.slice(2);
if (!(command in PROGRAMS)) {
  process.stderr.write("usage: node infra/setup/run.mjs start|test [ARGUMENTS]\n");
  process.exit(64);
}
try {
  become(PROGRAMS[command], args, await prepare(command));
} catch (error) {
  if (!(error instanceof SetupFailure)) throw error;
  process.stderr.write(`set-up: ${error.message}\n`);
  if (args.includes("--json"))
    process.stdout.write(`${JSON.stringify({ ok: false, stage: "set-up", error: error.message })}\n`);
  process.exit(1);
}
