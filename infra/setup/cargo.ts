import { join } from "node:path";
import { run } from "@cloudvlan/test/lab";
import type { Outcome } from "./outcome.ts";

const CEILING_MS = 60 * 60_000;
const TAIL_CHARACTERS = 8_000;
const RESULT = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm;
const IGNORED = /^test (\S+) \.\.\. ignored(?:, (.*))?$/gm;

/** How an ignored function says that it is no test: another test runs it in a process of its own. */
const PROGRAM = /^a program that a test\b/;

/** Counts of what `cargo test` printed. An ignored test must say what it needs, as one of mocha. */
export function outcomeOfCargo(output: string, code: number | undefined): Outcome {
  let passed = 0;
  let failed = 0;
  for (const [, passes, failures] of output.matchAll(RESULT)) {
    passed += Number(passes);
    failed += Number(failures);
  }
  const ignored = [...output.matchAll(IGNORED)]
    .map(([, name, reason = ""]) => ({ name, reason }))
    .filter(({ reason }) => !PROGRAM.test(reason));
  const reasonless = ignored.filter(({ reason }) => !/\bneeds\b/.test(reason));
  failed += reasonless.length;
  if (code !== 0 && failed === 0) failed = 1;
  const complaints = reasonless.map(({ name }) => `${name} is ignored and does not say what the machine needs`);
  return {
    passed,
    failed,
    skipped: ignored.filter((test) => !reasonless.includes(test)).map(({ name, reason }) => `${name}: ${reason}`),
    words: failed > 0 ? [...complaints, output.slice(-TAIL_CHARACTERS)].join("\n") : "",
  };
}

/** Runs every test of the engine's workspace. */
export async function runCargoTests(root: string): Promise<Outcome> {
  const argv = ["cargo", "test", "--workspace", "--locked", "--no-fail-fast"];
  const ended = await run(argv, { cwd: join(root, "engine"), signal: AbortSignal.timeout(CEILING_MS) });
  return outcomeOfCargo(`${ended.stderr}\n${ended.stdout}`, ended.code);
}
