import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { outputOf, runLogged } from "./exec.mjs";
import { hashOf, hashOfFolders } from "./hash.mjs";
import { withLock } from "./lock.mjs";
import { cache, pinnedNode, root } from "./paths.mjs";

const KEPT_BUILDS = 3;
const ENGINE_BINARIES = ["cvlan-engine", "cvlan-lab"];

export const logOf = (name) => join(cache, "logs", `${name}.log`);

/** Runs one step under its lock, unless what it makes is there. `fresh` is asked again once the lock is held. */
export async function step(progress, name, doing, lock, fresh, make) {
  if (await fresh()) return;
  progress.begin(name, "waiting");
  await withLock(
    lock,
    () => progress.update(name, "waiting for another set-up"),
    async () => {
      if (await fresh()) return;
      progress.update(name, doing);
      await make((line) => progress.update(name, line));
    },
  );
  progress.end(name, "ready");
}

/** Keeps the builds that were used last. */
export async function prune(folder) {
  const entries = existsSync(folder) ? await readdir(folder, { withFileTypes: true }) : [];
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const dated = await Promise.all(names.map(async (name) => ({ name, at: (await stat(join(folder, name))).mtimeMs })));
  dated.sort((a, b) => b.at - a.at);
  for (const { name } of dated.slice(KEPT_BUILDS)) await rm(join(folder, name), { recursive: true, force: true });
}

/** Marks a build as used, for `prune`. */
export async function touch(path) {
  const now = new Date();
  await utimes(path, now, now);
}

/** Makes a folder of files whole or not at all. */
export async function replaceFolder(folder, fill) {
  const partial = join(dirname(folder), `.${basename(folder)}.partial`);
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  await fill(partial);
  await rm(folder, { recursive: true, force: true });
  await rename(partial, folder);
}

/** npm packages of the lockfile in the clone's node_modules. */
export async function npmPackages(progress) {
  const marker = join(root, "node_modules", ".cloudvlan-lock");
  const want = hashOf(await readFile(join(root, "package-lock.json")), process.arch);
  const fresh = async () => existsSync(marker) && existsSync(pinnedNode) && (await readFile(marker, "utf8")) === want;
  const lock = join(root, ".cache", "npm.lock");
  await step(progress, "npm", "fetching packages", lock, fresh, async () => {
    const argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    await runLogged(argv, { cwd: root, log: logOf("npm") });
    await writeFile(marker, want);
  });
  return {};
}

/**
 * A program of a Go module that go.sum pins. `folders` hold what else it is made from; `more` makes further options, which
 * `key` tells apart. Returns its path.
 */
export async function goProgram(
  progress,
  name,
  modulePath,
  main,
  folders = [],
  { options: more, key: variant = "" } = {},
) {
  const source = join(root, modulePath);
  const files = await Promise.all(["go.mod", "go.sum"].map((file) => readFile(join(source, file))));
  const compiler = (await outputOf(["go", "version"], source)) ?? "";
  const key = hashOf(...files, compiler, await hashOfFolders(root, folders), variant);
  const folder = join(cache, name, key);
  const binary = join(folder, name);
  await step(
    progress,
    name,
    "building",
    `${folder}.lock`,
    async () => existsSync(binary),
    async (tell) => {
      await replaceFolder(folder, async (partial) => {
        const options = ["-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags=-s -w", "-v"];
        if (more) options.push(...(await more(partial)));
        const argv = ["go", "build", ...options, "-o", join(partial, name), main];
        const env = { CGO_ENABLED: "0", GOFLAGS: "" };
        await runLogged(argv, { cwd: source, env, log: logOf(name), onLine: tell });
      });
    },
  );
  return binary;
}

/** The certificate authority. */
export async function stepCa(progress) {
  const main = "github.com/smallstep/certificates/cmd/step-ca";
  return { CLOUDVLAN_STEP_CA: await goProgram(progress, "step-ca", "infra/step-ca", main) };
}

/** The other WireGuard that the interoperability tests speak to. */
export async function wireguardGo(progress) {
  const main = "golang.zx2c4.com/wireguard";
  return { CLOUDVLAN_WIREGUARD_GO: await goProgram(progress, "wireguard-go", "test/interop/wireguard-go", main) };
}

/** The program by which the contract suite calls through the generated Go client. */
export async function goClient(progress) {
  const folder = "test/contract/clients/go";
  return { CLOUDVLAN_GO_CLIENT: await goProgram(progress, "go-client", folder, ".", [folder, "gen/go"]) };
}

/** The validators of the makers of Compose and Helm. */
export async function validate(progress) {
  const folder = "test/packaging/validate";
  return { CLOUDVLAN_VALIDATE: await goProgram(progress, "validate", folder, ".", [folder]) };
}

/** A Python with the packages that `infra/gen/requirements.txt` pins by hash. */
export async function python(progress) {
  const requirements = join(root, "infra/gen/requirements.txt");
  const version = (await outputOf(["python3", "--version"], root)) ?? "";
  const folder = join(cache, "python", hashOf(await readFile(requirements), version));
  const interpreter = join(folder, "bin", "python");
  const done = join(folder, "ready");
  await step(
    progress,
    "python",
    "fetching packages",
    `${folder}.lock`,
    async () => existsSync(done),
    async () => {
      const options = { cwd: root, log: logOf("python") };
      await rm(folder, { recursive: true, force: true });
      await runLogged(["python3", "-m", "venv", folder], options);
      const pip = [
        interpreter,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
      ];
      await runLogged([...pip, "--require-hashes", "--requirement", requirements], options);
      await writeFile(done, "");
    },
  );
  return { CLOUDVLAN_PYTHON: interpreter };
}

/** What the bundles are made from; their tests are hashed with them, which costs nothing but a build. */
const BUNDLED = ["kit", "services", "agent", "cli", "gen/ts", "infra/bundle", "infra/step-ca"];

/** The bundles of our programs. Needs the npm packages. Returns their folder. */
export async function bundles(progress) {
  const key = await hashOfFolders(root, BUNDLED, await readFile(join(root, "package-lock.json")));
  const folder = join(cache, "bundles", key);
  await step(
    progress,
    "bundles",
    "bundling",
    `${folder}.lock`,
    async () => existsSync(folder),
    async () => {
      await replaceFolder(folder, async (partial) => {
        const argv = [pinnedNode, join(root, "infra/bundle/main.ts"), "--out", partial];
        await runLogged(argv, { cwd: root, log: logOf("bundles") });
      });
      await prune(join(cache, "bundles"));
    },
  );
  await touch(folder);
  return { CLOUDVLAN_BUNDLES: folder };
}

/** An empty embedded database, for first starts. Needs the npm packages. Returns its folder. */
export async function databaseTemplate(progress) {
  const sources = ["kit/package.json", "kit/db/template.ts", "infra/setup/template.ts"];
  const key = hashOf(...(await Promise.all(sources.map((file) => readFile(join(root, file))))));
  const folder = join(cache, "pglite", key);
  await step(
    progress,
    "database",
    "making an empty one",
    `${folder}.lock`,
    async () => existsSync(folder),
    async () => {
      await replaceFolder(folder, async (partial) => {
        const argv = [pinnedNode, join(root, "infra/setup/template.ts"), "--out", partial];
        await runLogged(argv, { cwd: root, log: logOf("database") });
      });
      await prune(join(cache, "pglite"));
    },
  );
  await touch(folder);
  return { CLOUDVLAN_PGLITE_TEMPLATE: folder };
}

/** Cargo's target folder of this lockfile and compiler, shared by the release build, the checks and the tests. */
export async function targetFolder() {
  const compiler = (await outputOf(["rustc", "-vV"], join(root, "engine"))) ?? "";
  const key = hashOf(await readFile(join(root, "engine", "Cargo.lock")), compiler);
  const target = join(cache, "target", key);
  await mkdir(target, { recursive: true });
  await touch(target);
  return { target, compiler };
}

/** For commands that build with cargo and need no engine. */
export async function cargoTarget() {
  return { CARGO_TARGET_DIR: (await targetFolder()).target };
}

/** The release build of the engine. */
export async function engine(progress) {
  const { target, compiler } = await targetFolder();
  const key = await hashOfFolders(root, ["engine", "gen/rust"], compiler);
  const folder = join(cache, "engine", key);
  await step(
    progress,
    "engine",
    "building",
    `${target}.lock`,
    async () => existsSync(folder),
    async (tell) => {
      const argv = ["cargo", "build", "--release", "--locked", ...ENGINE_BINARIES.flatMap((name) => ["--bin", name])];
      const onLine = (line) => /^\s*(Compiling|Downloaded|Downloading)/.test(line) && tell(line.trim());
      await runLogged(argv, {
        cwd: join(root, "engine"),
        env: { CARGO_TARGET_DIR: target },
        log: logOf("engine"),
        onLine,
      });
      await replaceFolder(folder, async (partial) => {
        for (const name of ENGINE_BINARIES) {
          await copyFile(join(target, "release", name), join(partial, name));
          await chmod(join(partial, name), 0o755);
        }
      });
      await prune(join(cache, "engine"));
      await prune(join(cache, "target"));
    },
  );
  await touch(folder);
  const [engineProgram, lab] = ENGINE_BINARIES.map((name) => join(folder, name));
  return { CLOUDVLAN_ENGINE: engineProgram, CLOUDVLAN_LAB: lab, CARGO_TARGET_DIR: target };
}
