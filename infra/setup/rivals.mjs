// What `npm run bench -- wg` compares with: built for it alone, from the Go proxy and from crates.io, outside of the clone.
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { outputOf, runLogged } from "./exec.mjs";
import { SetupFailure } from "./failure.mjs";
import { hashOf } from "./hash.mjs";
import { cache, root } from "./paths.mjs";
import { logOf, replaceFolder, step, wireguardGo } from "./steps.mjs";

/** Programs by the name of the project, with the crate and its version. They are run, never linked. */
const CRATES = [
  { name: "boringtun", crate: "boringtun-cli", version: "0.7.1", binary: "boringtun-cli" },
  { name: "gotatun", crate: "gotatun-cli", version: "0.10.2", binary: "gotatun" },
];

const GO_MODULE = "golang.zx2c4.com/wireguard";

async function wireguardGoRival(progress) {
  const { CLOUDVLAN_WIREGUARD_GO: program } = await wireguardGo(progress);
  const modules = await readFile(join(root, "test/interop/wireguard-go/go.mod"), "utf8");
  const line = modules.split("\n").find((each) => each.trim().startsWith(`${GO_MODULE} `));
  return { name: "wireguard-go", version: line?.trim().split(" ")[1] ?? "unknown", program };
}

/** A program of a crate; where it does not build, why. */
async function crateRival(progress, { name, crate, version, binary }) {
  const compiler = (await outputOf(["rustc", "-vV"], root)) ?? "";
  const folder = join(cache, "rivals", hashOf(crate, version, compiler));
  const program = join(folder, "bin", binary);
  const make = (tell) =>
    replaceFolder(folder, async (partial) => {
      const onLine = (line) => /^\s*(Compiling|Downloaded|Downloading)/.test(line) && tell(line.trim());
      const argv = ["cargo", "install", "--locked", "--root", partial, `${crate}@${version}`];
      const target = join(partial, "target");
      await runLogged(argv, { cwd: cache, env: { CARGO_TARGET_DIR: target }, log: logOf(crate), onLine });
      await rm(target, { recursive: true, force: true });
    });
  try {
    await step(progress, name, "building", `${folder}.lock`, async () => existsSync(program), make);
    return { name, version, program };
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error;
    return { name, version, skipped: `${crate} ${version} does not build here: see ${logOf(crate)}` };
  }
}

/** All rivals as one JSON list of {name, version, program} or {name, version, skipped}. */
export async function rivals(progress) {
  const built = [await wireguardGoRival(progress)];
  for (const crate of CRATES) built.push(await crateRival(progress, crate));
  return { CLOUDVLAN_RIVALS: JSON.stringify(built) };
}
