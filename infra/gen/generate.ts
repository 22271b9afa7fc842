import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesOf } from "../setup/checks/command.ts";
import { ownFiles, withoutConstraints } from "./plain.ts";

/** Folders in which all is generated. */
export const GENERATED = ["gen/ts/src", "gen/rust/src", "gen/go/cloudvlan", "gen/python/src/cloudvlan"] as const;

/** Programs that `npm ci` does not bring. */
export interface Generators {
  /** Command that writes Rust: an image on standard input, the folder as its argument. */
  readonly rust: readonly string[];
  /** Interpreter that has grpcio-tools. */
  readonly python: string;
}

/**
 * The generators of a clone, as the set-up made them.
 * @throws Error when the set-up did not run.
 */
export function generatorsOf(root: string, python: string | undefined): Generators {
  if (python === undefined) throw new Error("CLOUDVLAN_PYTHON is not set: run this by `npm run gen` or `npm test`");
  const manifest = join(root, "engine/gen/Cargo.toml");
  return { rust: ["cargo", "run", "--quiet", "--locked", "--manifest-path", manifest, "--"], python };
}

/** Writes the code of the protos of a clone below another folder. */
export async function generate(root: string, out: string, { rust, python }: Generators): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "cloudvlan-gen-"));
  try {
    await bytesOf(["buf", "generate", "--output", out], root);
    const image = await bytesOf(["buf", "build", "-o", "-"], root);
    await bytesOf([...rust, join(out, "gen/rust/src")], root, image);

    const plain = withoutConstraints(image);
    const path = join(work, "plain.binpb");
    await writeFile(path, plain);
    await bytesOf(["buf", "generate", path, "--template", "buf.gen.sdk.yaml", "--output", out], root);
    const folder = join(out, "gen/python/src");
    await mkdir(folder, { recursive: true });
    const outputs = ["python", "pyi", "grpc_python"].map((kind) => `--${kind}_out=${folder}`);
    const protoc = [python, "-m", "grpc_tools.protoc", `--descriptor_set_in=${path}`, ...outputs];
    await bytesOf([...protoc, ...ownFiles(plain)], root);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
