import { complaintsOf } from "./command.ts";

/** The tree without files, which git knows by itself. */
const NOTHING = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/** Places in a clone's files where a merge left its marks. */
export async function mergeProblems(root: string): Promise<string[]> {
  const found = await complaintsOf(["git", "diff", "--check", NOTHING], root);
  return found.filter((line) => line.endsWith(": leftover conflict marker"));
}
