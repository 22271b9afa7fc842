import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { Refusal } from "@cloudvlan/kit/errors";
import { local, type Run } from "../command.ts";
import { UsageError } from "../exit.ts";
import type { Io } from "../io.ts";

/** Where the program that works on an installation lies: beside the bundled command, or in the clone. */
const PROGRAMS = ["../control-plane/admin.mjs", "../../services/all/admin.ts"];
const EX_USAGE = 64;

type Options = Readonly<Record<string, string | undefined>>;

/** `cvlan admin …`: what is done on the controller's own machine, with its configuration instead of an API key. */
export function adminCommands(program: Command, io: Io): void {
  const admin = program.command("admin").description("work on the installation of this machine: backup, restore, keys");
  admin
    .command("backup")
    .description("write all that the installation is into one encrypted file")
    .requiredOption("--config <file>", "configuration of the control plane")
    .requiredOption("--to <file>", "file to make; it must not be there")
    .requiredOption("--passphrase-file <file>", "file with the passphrase, for its owner alone (0600)")
    .option("--authority <dir>", "folder of step-ca, to be kept too")
    .addHelpText(
      "after",
      "\nOn PostgreSQL the workers may go on; with the embedded database stop the control plane first.\nExample:\n  cvlan admin backup --config control-plane.yaml --to monday.age --passphrase-file passphrase --authority ca\n",
    )
    .action(local<Options>(io, (run) => administer(run, ["backup"], ["config", "to", "passphrase-file", "authority"])));
  admin
    .command("restore")
    .description("put a backup in the place of what is lost; nodes come back by themselves")
    .requiredOption("--config <file>", "configuration of the control plane, which is stopped")
    .requiredOption("--from <file>", "file of `cvlan admin backup`")
    .requiredOption("--passphrase-file <file>", "file with the passphrase, for its owner alone (0600)")
    .option("--authority <dir>", "empty folder for step-ca's part of the backup")
    .addHelpText(
      "after",
      "\nNodes that were deleted after the backup stay out while the data folder's file `denials` is there; nodes that joined after it join again.\nExample:\n  cvlan admin restore --config control-plane.yaml --from monday.age --passphrase-file passphrase\n",
    )
    .action(
      local<Options>(io, (run) => administer(run, ["restore"], ["config", "from", "passphrase-file", "authority"])),
    );
  admin
    .command("rotate-ca <stage>")
    .description("replace the root of the certificate authority: prepare, switch, retire")
    .requiredOption("--config <file>", "configuration of the control plane on the machine of the CA")
    .addHelpText("after", "\nExample:\n  cvlan admin rotate-ca prepare --config control-plane.yaml\n")
    .action(local<Options>(io, (run) => administer(run, ["rotate-ca", ...run.args], ["config"])));
  admin
    .command("rotate-master")
    .description("replace the master key; the control plane is stopped meanwhile, nodes go on")
    .requiredOption("--config <file>", "configuration of the control plane, which is stopped")
    .addHelpText(
      "after",
      "\nInterrupted, it is run again. Take a backup after it: older ones are under the former key.\nExample:\n  cvlan admin rotate-master --config control-plane.yaml\n",
    )
    .action(local<Options>(io, (run) => administer(run, ["rotate-master"], ["config"])));
}

/** Runs the program with what it takes; its words are ours. @throws Refusal when it fails, UsageError when it was asked wrongly */
async function administer(
  { io, options }: Run<Options>,
  words: readonly string[],
  taken: readonly string[],
): Promise<void> {
  const program = PROGRAMS.map((path) => fileURLToPath(new URL(path, import.meta.url))).find((path) =>
    existsSync(path),
  );
  if (program === undefined) {
    throw new Refusal("not_found", "ADMIN_NOT_HERE", "the control plane is not installed on this machine", {
      remedy: "run this where the control plane runs",
    });
  }
  const given = taken.flatMap((name) => {
    const value = options[name.replaceAll(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase())];
    return value === undefined ? [] : [`--${name}`, value];
  });
  const argv = [program, ...words, ...given, "--json"];
  const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "pipe"], signal: io.signal });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once("close", resolve).once("error", reject),
  );
  if (code === 0) {
    io.out(options.json ? out : `${(JSON.parse(out) as { done: string }).done}\n`);
    return;
  }
  const { message, remedy, reason } = told(err);
  if (code === EX_USAGE) throw new UsageError(message, remedy ?? "see `cvlan help admin`");
  throw new Refusal("conflict", reason ?? "ADMIN_FAILED", message, { remedy: remedy ?? "" });
}

interface Told {
  readonly message: string;
  readonly remedy?: string;
  readonly reason?: string;
}

function told(text: string): Told {
  try {
    return (JSON.parse(text) as { error: Told }).error;
  } catch {
    return { message: text.trim() };
  }
}
