// `npm test`, after the set-up: every check and every suite; the last line counts them.
import { fileURLToPath } from "node:url";
import { type Outcome, sum } from "./outcome.ts";
import { stagesOf } from "./stages.ts";

const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

const outcomes: Outcome[] = [];
for (const stage of await stagesOf(root)) {
  const started = performance.now();
  const outcome = await stage.run().catch((error: unknown): Outcome => ({
    passed: 0,
    failed: 1,
    skipped: [],
    words: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }));
  outcomes.push(outcome);
  if (outcome.passed + outcome.failed + outcome.skipped.length === 0) continue;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const verdict = outcome.failed > 0 ? "FAILED" : "ok";
  console.log(
    `${verdict.padEnd(6)} ${stage.name.padEnd(36)} ${String(outcome.passed).padStart(5)} passed ${seconds.padStart(7)} s`,
  );
  for (const title of outcome.skipped) console.log(`       skipped: ${title}`);
  if (outcome.failed > 0) console.log(`\n${outcome.words}\n`);
}
const { passed, failed, skipped } = sum(outcomes);
console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
