import { create, toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type Check, CheckSchema, CheckVerdict } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { local } from "../command.ts";
import { diagnosis } from "../diagnosis.ts";
import type { Io } from "../io.ts";
import { printable } from "../print.ts";

const WORDS: Readonly<Record<CheckVerdict, string>> = {
  [CheckVerdict.UNSPECIFIED]: "-",
  [CheckVerdict.OK]: "ok",
  [CheckVerdict.WARN]: "WARN",
  [CheckVerdict.FAIL]: "FAIL",
  [CheckVerdict.SKIPPED]: "-",
};
const NAME_WIDTH = 14;

/** `cvlan doctor` */
export function doctorCommand(program: Command, io: Io): void {
  program
    .command("doctor")
    .description("look at everything this machine's node needs, and say what to do about what is missing")
    .addHelpText(
      "after",
      "\nExamples:\n  cvlan doctor\n  cvlan doctor --json | jq '.checks[] | select(.verdict == \"CHECK_VERDICT_FAIL\")'\n",
    )
    .action(
      local(io, async ({ options }) => {
        const checks: Check[] = [];
        for await (const check of diagnosis(io, options)) {
          checks.push(check);
          if (!options.json) io.out(checkText(check));
        }
        if (options.json) io.out(jsonText(checks));
        const failed = checks.filter(({ verdict }) => verdict === CheckVerdict.FAIL).map(({ name }) => name);
        if (failed.length === 0) return;
        throw new Refusal("conflict", "CHECKS_FAILED", `failed: ${failed.join(", ")}`, {
          remedy: "do what stands beside each, the first first; `cvlan debug bundle` makes a report for others",
        });
      }),
    );
}

function checkText({ name, verdict, found, remedy }: Check): string {
  const line = `${WORDS[verdict].padEnd(4)}  ${name.padEnd(NAME_WIDTH)}  ${printable(found)}\n`;
  return remedy === "" ? line : `${line}${" ".repeat(NAME_WIDTH + 8)}what next: ${printable(remedy)}\n`;
}

/** The stream as one document: the list of its messages. */
function jsonText(checks: readonly Check[]): string {
  const list = checks.map((check) => toJson(CheckSchema, create(CheckSchema, check)));
  return `${JSON.stringify({ checks: list }, undefined, 2)}\n`;
}
