import { join } from "node:path";
import { testEngine } from "./engine.ts";

// `run --state DIR`, as cvlan-engine is called.
const folder = process.argv[process.argv.indexOf("--state") + 1] ?? "";
if (folder.includes("port-taken")) {
  process.stderr.write('{"message":"UDP port 51820 is in use"}\n');
  process.exit(3);
}
await testEngine(join(folder));
