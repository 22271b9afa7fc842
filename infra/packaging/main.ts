// `npm run package`, after the set-up: the installation tree as a folder.
import { mkdir, readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { installTree } from "./tree.ts";

function made(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run this by \`npm run package\``);
  return value;
}

const { values } = parseArgs({ options: { out: { type: "string", default: "dist" } }, strict: true });
const out = resolve(values.out);
await mkdir(out, { recursive: true });
if ((await readdir(out)).length > 0) throw new Error(`${out} is not empty; name another folder with --out`);
await installTree(
  {
    root: fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, ""),
    node: process.execPath,
    bundles: made("CLOUDVLAN_BUNDLES"),
    engine: made("CLOUDVLAN_ENGINE"),
    stepCa: made("CLOUDVLAN_STEP_CA"),
  },
  out,
);
console.log(out);
