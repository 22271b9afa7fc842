import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { testEngine } from "./engine.ts";

// `version --build` and `run --state DIR [--take-over]`, as cvlan-engine is called; which build it is says the environment.
const build = process.env["TEST_BUILD"] ?? "";
if (process.argv.includes("version")) {
  process.stdout.write(`${build}\n`);
  process.exit(build === "" ? 2 : 0);
}
const folder = process.argv[process.argv.indexOf("--state") + 1] ?? "";
if (folder.includes("port-taken")) {
  process.stderr.write(
    '{"level":"ERROR","message":"UDP port 51820 is in use"}\n{"level":"INFO","message":"stopped"}\n',
  );
  process.exit(3);
}
const [pidFile, instanceFile] = [join(folder, "pid"), join(folder, "instance")];
let former: { pid: number; instance: string } | undefined;
if (process.argv.includes("--take-over")) {
  if (process.env["TEST_BROKEN"]) {
    process.stderr.write("cvlan-engine: the state that was handed over is not used: it is not whole\n");
    process.exit(1);
  }
  former = { pid: Number(await readFile(pidFile, "utf8")), instance: await readFile(instanceFile, "utf8") };
}
const { instanceId } = await testEngine(folder, { build, former: former?.instance });
await writeFile(instanceFile, instanceId);
await writeFile(pidFile, String(process.pid));
if (former) process.kill(former.pid, "SIGKILL");

// A test that failed leaves nothing behind: the program ends with its folder.
setInterval(() => {
  if (!existsSync(join(folder, "engine.sock"))) process.exit(0);
}, 500);
