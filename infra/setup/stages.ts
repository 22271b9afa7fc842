import { join } from "node:path";
import { generatorsOf } from "../gen/generate.ts";
import { runCargoTests } from "./cargo.ts";
import { complaintsOf } from "./checks/command.ts";
import { breakingProblems, protoProblems } from "./checks/contract.ts";
import { driftProblems } from "./checks/drift.ts";
import { importProblems } from "./checks/imports.ts";
import { mergeProblems } from "./checks/merges.ts";
import { rpcProblems } from "./checks/rpcs.ts";
import { runSuites, suiteFolders } from "./mocha.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";

export interface Stage {
  readonly name: string;
  run(): Promise<Outcome>;
}

function check(name: string, problems: () => Promise<string[]>): Stage {
  return { name, run: async () => outcomeOf(await problems()) };
}

/** What `npm test` does, in order: what is quick and often wrong comes first. */
export async function stagesOf(root: string): Promise<Stage[]> {
  const engine = join(root, "engine");
  const clippy = ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"];
  const suites = (await suiteFolders(root)).map((folder) => ({
    name: `suites of ${folder}`,
    run: () => runSuites(root, folder),
  }));
  return [
    check("marks of a merge", () => mergeProblems(root)),
    check("format (oxfmt)", () => complaintsOf(["oxfmt", "--check"], root)),
    check("lint (oxlint)", () => complaintsOf(["oxlint"], root)),
    check("types (tsc)", () => complaintsOf(["tsc", "--project", root], root)),
    check("format (cargo fmt)", () => complaintsOf(["cargo", "fmt", "--all", "--check"], engine)),
    check("lint (cargo clippy)", () => complaintsOf(clippy, engine)),
    check("protos (buf format, buf lint)", () => protoProblems(root)),
    check("contract (buf breaking)", () => breakingProblems(root)),
    check("generated code", () => driftProblems(root, generatorsOf(root, process.env.CLOUDVLAN_PYTHON))),
    check("import directions", () => importProblems(root)),
    check("options of every RPC", () => rpcProblems(root)),
    ...suites,
    { name: "tests of the engine (cargo test)", run: () => runCargoTests(root) },
  ];
}
