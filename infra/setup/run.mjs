// Brings what `npm start` and `npm test` need, then runs them under the pinned Node. Node 20 or newer, no dependencies.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { debianPrograms } from "./debian.mjs";
import { SetupFailure } from "./failure.mjs";
import { formerVersion } from "./former.mjs";
import { cache, pinnedNode, root } from "./paths.mjs";
import { createProgress } from "./progress.mjs";
import { rivals } from "./rivals.mjs";
import { shortEngine, shortWireguardGo } from "./short.mjs";
import {
  bundles,
  cargoTarget,
  databaseTemplate,
  engine,
  goClient,
  npmPackages,
  python,
  stepCa,
  validate,
  wireguardGo,
} from "./steps.mjs";
import { requireTools } from "./tools.mjs";

/** Bundles and the empty database are made of the packages. */
const programs = async (progress) => {
  await npmPackages(progress);
  return Object.assign({}, ...(await Promise.all([bundles(progress), databaseTemplate(progress)])));
};
const start = [programs, stepCa, engine];

/** What each command runs, and what is made before; a first argument may need more. A step answers with the variables by which it is found. */
const COMMANDS = {
  gen: { program: "infra/gen/main.ts", steps: [npmPackages, cargoTarget, python] },
  package: { program: "infra/packaging/main.ts", steps: start },
  start: { program: "infra/start/main.ts", steps: start },
  bench: { program: "bench/main.ts", steps: start },
  "bench wg": { program: "bench/main.ts", steps: [...start, rivals] },
  test: {
    program: "infra/setup/test.ts",
    steps: [
      ...start,
      wireguardGo,
      shortWireguardGo,
      shortEngine,
      goClient,
      python,
      validate,
      formerVersion,
      debianPrograms,
    ],
  },
};

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
    const made = await Promise.allSettled(COMMANDS[command].steps.map((step) => step(progress)));
    const failure = made.find((result) => result.status === "rejected");
    if (failure) throw failure.reason;
    const variables = Object.assign({}, ...made.map((result) => result.value));
    const unpacked = variables.CLOUDVLAN_DEBIAN_PROGRAMS;
    return {
      ...variables,
      NODE_COMPILE_CACHE: join(cache, "node"),
      PATH: [join(root, "node_modules", ".bin"), process.env.PATH, unpacked].filter(Boolean).join(":"),
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

const [named, ...args] = process.argv.slice(2);
const command = `${named} ${args[0]}` in COMMANDS ? `${named} ${args[0]}` : named;
if (!(command in COMMANDS)) {
  process.stderr.write("usage: node infra/setup/run.mjs bench|gen|package|start|test [ARGUMENTS]\n");
  process.exit(64);
}
try {
  become(COMMANDS[command].program, args, await prepare(command));
} catch (error) {
  if (!(error instanceof SetupFailure)) throw error;
  process.stderr.write(`set-up: ${error.message}\n`);
  if (args.includes("--json"))
    process.stdout.write(`${JSON.stringify({ ok: false, stage: "set-up", error: error.message })}\n`);
  process.exit(1);
}
