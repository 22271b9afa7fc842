import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { testEngine } from "./engine.ts";

// `run --state DIR`, as cvlan-engine is called.
const folder = process.argv[process.argv.indexOf("--state") + 1] ?? "";
if (folder.includes("port-taken")) {
  process.stderr.write(
    '{"level":"ERROR","message":"UDP port 51820 is in use"}\n{"level":"INFO","message":"stopped"}\n',
  );
  process.exit(3);
}
await writeFile(join(folder, "pid"), String(process.pid));
await testEngine(folder);

// A test that failed leaves nothing behind: the program ends with its folder.
setInterval(() => {
  if (!existsSync(join(folder, "engine.sock"))) process.exit(0);
}, 500);
