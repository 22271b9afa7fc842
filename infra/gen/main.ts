// `npm run gen`, after the set-up: writes the code of the protos.
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GENERATED, generate, generatorsOf } from "./generate.ts";

const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const fresh = await mkdtemp(join(tmpdir(), "cloudvlan-gen-"));
try {
  await generate(root, fresh, generatorsOf(root, process.env.CLOUDVLAN_PYTHON));
  for (const folder of GENERATED) {
    await rm(join(root, folder), { recursive: true, force: true });
    await cp(join(fresh, folder), join(root, folder), { recursive: true });
  }
} finally {
  await rm(fresh, { recursive: true, force: true });
}
