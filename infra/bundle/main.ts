// Bundles the programs of this clone into an empty folder; the set-up's step.
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.ts";

const { out } = parseArgs({ options: { out: { type: "string" } } }).values;
if (out === undefined) {
  process.stderr.write("usage: node infra/bundle/main.ts --out FOLDER\n");
  process.exit(64);
}
await bundle(fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, ""), out);
