import type { Command } from "commander";
import { filesOf, writeBundle } from "../debug/bundle.ts";
import { collect } from "../debug/collect.ts";
import { local } from "../command.ts";
import type { Io } from "../io.ts";
import { printable, size } from "../print.ts";
import { working } from "../progress.ts";

interface BundleOptions {
  out?: string;
  anonymise: boolean;
}

/** `cvlan debug …` */
export function debugCommands(program: Command, io: Io): void {
  const debug = program.command("debug").description("reports of faults, for those who help");

  debug
    .command("bundle")
    .description("write status, checks, logs, routes and versions of this machine into one file; without secrets")
    .option("--out <file>", "file to make (default cvlan-debug-TIME.tar.gz here)")
    .option("--no-anonymise", "leave names, ids, addresses, domains and public keys as they are")
    .addHelpText(
      "after",
      "\nExamples:\n  cvlan debug bundle\n  cvlan debug bundle --out /tmp/web1.tar.gz --no-anonymise\n",
    )
    .action(
      local<BundleOptions>(io, async ({ options }) => {
        const nowMs = io.clock.nowMs();
        const stamp = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
        const path = options.out ?? `cvlan-debug-${stamp}.tar.gz`;
        const files = await working(io, options, "collecting", async () =>
          filesOf(await collect(io, options), options.anonymise),
        );
        const bytes = await writeBundle(path, files, nowMs);
        const answer = { file: path, bytes, entries: [...files.keys()], anonymised: options.anonymise };
        const how = options.anonymise ? "anonymised" : "NOT anonymised";
        io.out(
          options.json
            ? `${JSON.stringify(answer, undefined, 2)}\n`
            : `${printable(path)}: ${files.size} files, ${size(BigInt(bytes))}, ${how}; read it before you give it away\n`,
        );
      }),
    );
}
