import { fileURLToPath } from "node:url";
import { must } from "@cloudvlan/test/lab";
import { type Benchmark, median } from "./benchmark.ts";

const SETUP = fileURLToPath(new URL("../infra/setup/run.mjs", import.meta.url));

interface StartReport {
  readonly first_ping_ms: number;
  readonly stages: Readonly<Record<string, number>>;
}

/** `npm start -- --once --json`, by its own clock: from the end of the set-up to the answer of the first ping. */
export const firstPing: Benchmark = {
  name: "first-ping",
  rows: { first_ping: { unit: "ms", better: "less" } },
  enclosed: false,
  run: async ({ node, env, rounds, say }) => {
    const reports: StartReport[] = [];
    for (let round = 0; round < rounds; round++) {
      const out = await must([node, SETUP, "start", "--once", "--json"], { env });
      const report = JSON.parse(out) as StartReport;
      say(`first ping after ${report.first_ping_ms} ms; ${JSON.stringify(report.stages)}`);
      reports.push(report);
    }
    const names = Object.keys(reports[0]?.stages ?? {});
    const details = Object.fromEntries(
      names.map((name) => [name, median(reports.map(({ stages }) => stages[name] ?? 0))]),
    );
    return { first_ping: { ours: reports.map((report) => report.first_ping_ms), details } };
  },
};
