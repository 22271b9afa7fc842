import { ConfigError } from "@cloudvlan/kit/config";
import { Refusal } from "@cloudvlan/kit/errors";
import { rotateCa } from "./admin/rotate-ca.ts";
import { UsageError, type Verb } from "./admin/verb.ts";

/** Exit codes of sysexits.h. */
const EX_USAGE = 64;
const EX_TEMPFAIL = 75;

/** What is done to an installation on its own machine, beside the running control plane: a file per verb. */
const VERBS: ReadonlyMap<string, Verb> = new Map([["rotate-ca", rotateCa]]);

const USAGE = ["usage:", ...[...VERBS.values()].map(({ usage }) => `  node services/all/admin.ts ${usage}`)].join("\n");

async function main([name, ...argv]: readonly string[]): Promise<number> {
  const verb = VERBS.get(name ?? "");
  try {
    if (!verb) throw new UsageError(USAGE);
    process.stdout.write(`${await verb.run(argv)}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof ConfigError || error instanceof Refusal)) throw error;
    const remedy = error instanceof Refusal && error.detail.remedy ? `; ${error.detail.remedy}` : "";
    process.stderr.write(`${error.message}${remedy}\n`);
    return error instanceof Refusal ? EX_TEMPFAIL : EX_USAGE;
  }
}

process.exitCode = await main(process.argv.slice(2));
