import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { complaintsOf } from "./command.ts";

const BASELINE = "protodefs/baseline.binpb";
const CHANGES = "docs/contract-changes.md";

/** A moved baseline without a line that says why would hide a break from everybody. */
async function unexplainedBaseline(root: string): Promise<string[]> {
  const digest = createHash("sha256")
    .update(await readFile(join(root, BASELINE)))
    .digest("hex")
    .slice(0, 16);
  const changes = await readFile(join(root, CHANGES), "utf8");
  if (changes.includes(`\`${digest}\``)) return [];
  return [`${BASELINE} was moved: add a line with \`${digest}\` and the reason to ${CHANGES}`];
}

/** What is wrong with the form of a clone's protos; each a line. */
export async function protoProblems(root: string): Promise<string[]> {
  return [
    ...(await complaintsOf(["buf", "format", "protodefs", "--diff", "--exit-code"], root)),
    ...(await complaintsOf(["buf", "lint"], root)),
  ];
}

/** Changes of a clone's protos that break clients built from the baseline; each a line. */
export async function breakingProblems(root: string): Promise<string[]> {
  const argv = ["buf", "breaking", "protodefs", "--exclude-imports", "--against", BASELINE];
  return [...(await complaintsOf(argv, root)), ...(await unexplainedBaseline(root))];
}
