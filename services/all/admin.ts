import { ConfigError } from "@cloudvlan/kit/config";
import { Refusal } from "@cloudvlan/kit/errors";
import { backup } from "./admin/backup.ts";
import { restore } from "./admin/restore.ts";
import { rotateCa } from "./admin/rotate-ca.ts";
import { rotateMaster } from "./admin/rotate-master.ts";
import { UsageError, type Verb } from "./admin/verb.ts";

/** Exit codes of sysexits.h. */
const EX_USAGE = 64;
const EX_TEMPFAIL = 75;

/** What is done to an installation on its own machine, beside the running control plane: a file per verb. */
const VERBS: ReadonlyMap<string, Verb> = new Map([
  ["backup", backup],
  ["restore", restore],
  ["rotate-ca", rotateCa],
  ["rotate-master", rotateMaster],
]);

const USAGE = ["usage:", ...[...VERBS.values()].map(({ usage }) => `  cvlan admin ${usage}`)].join("\n");

/** Answers with words, or with one line of JSON after `--json`. */
async function main(given: readonly string[]): Promise<number> {
  const json = given.includes("--json");
  const [name, ...argv] = given.filter((word) => word !== "--json");
  const verb = VERBS.get(name ?? "");
  try {
    if (!verb) throw new UsageError(USAGE);
    const done = await verb.run(argv);
    process.stdout.write(json ? `${JSON.stringify({ verb: name, done })}\n` : `${done}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof ConfigError || error instanceof Refusal)) throw error;
    const { message } = error;
    const { reason, remedy } = error instanceof Refusal ? { reason: error.reason, remedy: error.detail.remedy } : {};
    const words = `${message}${remedy === undefined ? "" : `; ${remedy}`}`;
    process.stderr.write(json ? `${JSON.stringify({ error: { reason, message, remedy } })}\n` : `${words}\n`);
    return error instanceof Refusal ? EX_TEMPFAIL : EX_USAGE;
  }
}

process.exitCode = await main(process.argv.slice(2));
