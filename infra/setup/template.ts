// Makes the empty embedded database that first starts copy; the set-up's step.
import { parseArgs } from "node:util";
import { makeTemplate } from "@cloudvlan/kit/db/template";

const { out } = parseArgs({ options: { out: { type: "string" } } }).values;
if (out === undefined) {
  process.stderr.write("usage: node infra/setup/template.ts --out FOLDER\n");
  process.exit(64);
}
await makeTemplate(out);
