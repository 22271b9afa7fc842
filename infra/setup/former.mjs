import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { outputOf, runLogged } from "./exec.mjs";
import { cache, root } from "./paths.mjs";
import { logOf, prune, replaceFolder, step } from "./steps.mjs";

/** The version before this one, which installations are upgraded from: the commit that ended "First ping". */
const COMMIT = "6c2d6d85f682bf7e8a62feca71d7f3f5626196de";
const ENGINE = "cvlan-engine";
/** Nobody measures it. The whole step takes 120 CPU seconds in an empty cache. */
const QUICK = {
  CARGO_PROFILE_RELEASE_LTO: "off",
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "16",
  CARGO_PROFILE_RELEASE_OPT_LEVEL: "1",
};

/**
 * The former version with its engine, for the tests of upgrades. Where the clone's history does not reach so far and no
 * clone before it left a build, there is none, and they are skipped.
 */
export async function formerVersion(progress) {
  const folder = join(cache, "former", COMMIT);
  const env = { CLOUDVLAN_FORMER_COMMIT: COMMIT };
  const known = (await outputOf(["git", "cat-file", "-e", `${COMMIT}^{commit}`], root)) !== undefined;
  if (!known && !existsSync(folder)) return env;
  await step(
    progress,
    "former version",
    "fetching packages",
    `${folder}.lock`,
    async () => existsSync(folder),
    async (tell) => {
      await replaceFolder(folder, (partial) => make(partial, tell));
      await prune(join(cache, "former"));
    },
  );
  return { ...env, CLOUDVLAN_FORMER: folder };
}

async function make(folder, tell) {
  const options = { cwd: folder, log: logOf("former") };
  const archive = join(folder, "archive.tar");
  await runLogged(["git", "archive", "--output", archive, COMMIT], { ...options, cwd: root });
  await runLogged(["tar", "-xf", archive], options);
  await rm(archive);
  const npm = ["npm", "ci", "--ignore-scripts", "--omit=dev", "--omit=optional", "--no-audit", "--no-fund"];
  await runLogged([...npm, "--loglevel=error"], options);

  // A target folder of its own: in a shared one cargo takes older sources of the same path for built.
  const target = join(folder, "target");
  await runLogged(["cargo", "build", "--release", "--locked", "--bin", ENGINE], {
    ...options,
    cwd: join(folder, "engine"),
    env: { ...QUICK, CARGO_TARGET_DIR: target },
    onLine: (line) => /^\s*(Compiling|Downloaded|Downloading)/.test(line) && tell(line.trim()),
  });
  await mkdir(join(folder, "bin"));
  await copyFile(join(target, "release", ENGINE), join(folder, "bin", ENGINE));
  await chmod(join(folder, "bin", ENGINE), 0o755);
  await rm(target, { recursive: true });
}
