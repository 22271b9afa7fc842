// Both sides of the interoperability tests with sessions of seconds: the products as they are but for the limits of the whitepaper, section 6.1.
import { existsSync } from "node:fs";
import { chmod, copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { outputOf, runLogged } from "./exec.mjs";
import { SetupFailure } from "./failure.mjs";
import { hashOfFolders } from "./hash.mjs";
import { cache, root } from "./paths.mjs";
import { goProgram, logOf, prune, replaceFolder, step, targetFolder, touch } from "./steps.mjs";

const MODULE = "test/interop/wireguard-go";
const LIMITS = join(root, MODULE, "short-sessions.json");
const FEATURE = "test-short-sessions";

/** The constants of wireguard-go with other values. @throws SetupFailure when one is not there */
function withLimits(source, limits) {
  let text = source;
  for (const [name, value] of Object.entries(limits)) {
    const line = new RegExp(`^(\\t${name}\\s*= ).*$`, "m");
    if (!line.test(text)) throw new SetupFailure(`wireguard-go has no constant ${name} any more: see ${LIMITS}`);
    text = text.replace(line, `$1${value}`);
  }
  return text;
}

/** wireguard-go with the limits of `short-sessions.json`: its module, copied, takes the place of the one that go.sum pins. */
export async function shortWireguardGo(progress) {
  const main = "golang.zx2c4.com/wireguard";
  const cwd = join(root, MODULE);
  const limits = await readFile(LIMITS, "utf8");
  const options = async (folder) => {
    await runLogged(["go", "mod", "download", main], { cwd, log: logOf("wireguard-go-short") });
    const pinned = (await outputOf(["go", "list", "-m", "-f", "{{.Dir}}", main], cwd))?.trim();
    if (!pinned) throw new SetupFailure(`\`go list -m ${main}\` does not work in ${cwd}`);
    const changed = join(folder, "source");
    const constants = join(changed, "device", "constants.go");
    // The cache of modules is read-only.
    await runLogged(["cp", "-r", "--no-preserve=mode", pinned, changed], { cwd, log: logOf("wireguard-go-short") });
    const text = withLimits(await readFile(constants, "utf8"), JSON.parse(limits));
    await writeFile(constants, text);
    const modules = await readFile(join(cwd, "go.mod"), "utf8");
    await writeFile(join(folder, "go.mod"), `${modules}\nreplace ${main} => ${changed}\n`);
    await copyFile(join(cwd, "go.sum"), join(folder, "go.sum"));
    return [`-modfile=${join(folder, "go.mod")}`];
  };
  const short = { options, key: limits };
  return { CLOUDVLAN_WIREGUARD_GO_SHORT: await goProgram(progress, "wireguard-go-short", MODULE, main, [], short) };
}

/** The engine with the same limits, as the checks build it: without optimisation. */
export async function shortEngine(progress) {
  const { target, compiler } = await targetFolder();
  const key = await hashOfFolders(root, ["engine", "gen/rust"], compiler, FEATURE);
  const folder = join(cache, "engine-short", key);
  await step(
    progress,
    "short engine",
    "building",
    `${target}.lock`,
    async () => existsSync(folder),
    async (tell) => {
      const argv = ["cargo", "build", "--locked", "--package", "cvlan-engine", "--features", FEATURE];
      const onLine = (line) => /^\s*(Compiling|Downloaded|Downloading)/.test(line) && tell(line.trim());
      const env = { CARGO_TARGET_DIR: target };
      await runLogged(argv, { cwd: join(root, "engine"), env, log: logOf("engine-short"), onLine });
      await replaceFolder(folder, async (partial) => {
        const program = join(partial, "cvlan-engine");
        await copyFile(join(target, "debug", "cvlan-engine"), program);
        await chmod(program, 0o755);
      });
      await prune(join(cache, "engine-short"));
    },
  );
  await touch(folder);
  return { CLOUDVLAN_ENGINE_SHORT: join(folder, "cvlan-engine") };
}
