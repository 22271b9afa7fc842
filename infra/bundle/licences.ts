import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const ALLOWED = new Set(["MIT", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "BlueOak-1.0.0"]);
const TEXT = /^(licen[cs]e|notice|copying)/i;
const RULE = "=".repeat(80);

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

/** The folder of the package that a file belongs to, undefined for our own files. */
function packageOf(path: string): string | undefined {
  const parts = path.split("/");
  const at = parts.lastIndexOf("node_modules");
  if (at < 0) return undefined;
  return parts.slice(0, at + (parts[at + 1]?.startsWith("@") ? 3 : 2)).join("/");
}

async function textOf(root: string, folder: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(root, folder, "package.json"), "utf8")) as Manifest;
  const { name, version, license = "" } = manifest;
  if (!license.split(/ (?:AND|OR) /).every((id) => ALLOWED.has(id.replaceAll(/[()]/g, ""))))
    throw new Error(`${name} ${version} has the licence ${license || "(none)"}, which a bundle may not hold`);
  const files = (await readdir(join(root, folder))).filter((file) => TEXT.test(file)).toSorted();
  const texts = await Promise.all(files.map((file) => readFile(join(root, folder, file), "utf8")));
  return [RULE, `${name} ${version} (${license})`, RULE, "", ...texts.map((text) => text.trim()), ""].join("\n");
}

/**
 * The licences of all packages that files come from.
 * @param inputs paths within the clone
 * @throws Error that names a package whose licence is none of those that are allowed
 */
export async function licenceTexts(root: string, inputs: readonly string[]): Promise<string> {
  const folders = new Set(inputs.map(packageOf).filter((folder) => folder !== undefined));
  const known = [...folders].filter((folder) => existsSync(join(root, folder, "package.json"))).toSorted();
  return (await Promise.all(known.map((folder) => textOf(root, folder)))).join("\n");
}
