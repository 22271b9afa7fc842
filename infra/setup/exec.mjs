import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { SetupFailure } from "./failure.mjs";

const TAIL_LINES = 25;

/**
 * Runs a command with its output in a log file.
 * @param {string[]} argv
 * @param {{cwd: string, env?: Record<string, string | undefined>, log: string, onLine?: (line: string) => void}} options
 * @throws SetupFailure with the tail of the log when the command fails
 */
export async function runLogged(argv, { cwd, env, log, onLine }) {
  await mkdir(dirname(log), { recursive: true });
  const file = createWriteStream(log);
  const child = spawn(argv[0], argv.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let rest = "";
  const take = (chunk) => {
    file.write(chunk);
    if (!onLine) return;
    const lines = (rest + chunk).split(/[\r\n]+/);
    rest = (lines.pop() ?? "").slice(-4096);
    for (const line of lines) onLine(line);
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  const [code, signal] = await new Promise((resolve, reject) => {
    child.once("error", (error) => reject(new SetupFailure(`cannot run ${argv[0]}: ${error.message}`)));
    child.once("close", (...how) => resolve(how));
  });
  file.end();
  await once(file, "close");
  if (code === 0) return;
  const tail = (await readFile(log, "utf8")).trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
  throw new SetupFailure(`${tail}\n${argv.join(" ")} failed (${signal ?? `exit ${code}`}); the whole log: ${log}`);
}

/** What a short command prints; undefined when it cannot run or fails. */
export async function outputOf(argv, cwd) {
  const child = spawn(argv[0], argv.slice(1), { cwd, stdio: ["ignore", "pipe", "ignore"] });
  let out = "";
  child.stdout.on("data", (chunk) => (out += chunk));
  const code = await new Promise((resolve) => {
    child.once("error", () => resolve(-1));
    child.once("close", resolve);
  });
  return code === 0 ? out : undefined;
}
