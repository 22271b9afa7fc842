import { Command, CommanderError } from "commander";
import { startTelemetry, telemetrySchema } from "@cloudvlan/kit/telemetry";
import packageJson from "./package.json" with { type: "json" };
import { EXIT, type ExitCode, exitCodeOf, UsageError } from "./exit.ts";
import type { Io } from "./io.ts";
import { adminCommands } from "./nouns/admin.ts";
import { auditCommands } from "./nouns/audit.ts";
import { completionCommand } from "./nouns/completion.ts";
import { cvlanCommands } from "./nouns/cvlan.ts";
import { debugCommands } from "./nouns/debug.ts";
import { discoveryServerCommands } from "./nouns/discovery-server.ts";
import { doctorCommand } from "./nouns/doctor.ts";
import { engineCommands } from "./nouns/engine.ts";
import { groupCommands } from "./nouns/group.ts";
import { joinCommand } from "./nouns/join.ts";
import { keyCommands } from "./nouns/key.ts";
import { loginCommand } from "./nouns/login.ts";
import { nodeCommands } from "./nouns/node.ts";
import { pingCommand } from "./nouns/ping.ts";
import { policyCommands } from "./nouns/policy.ts";
import { regionCommands } from "./nouns/region.ts";
import { settingsCommands } from "./nouns/settings.ts";
import { statusCommand } from "./nouns/status.ts";
import { tenantCommands } from "./nouns/tenant.ts";
import { tokenCommands } from "./nouns/token.ts";
import { whyCommand } from "./nouns/why.ts";
import { errorText, reportOf } from "./print.ts";

const DEFAULT_STATE = "/var/lib/cloudvlan/node";

const EXIT_HELP = `
Exit codes: 0 ok, 1 refused or failed, 2 usage, 3 not found, 4 unreachable, 5 not allowed.
With --json, answers are one JSON document on standard output and errors one on standard error.
`;

/** The whole tree of commands. */
export function program(io: Io): Command {
  const root = new Command("cvlan")
    .description("operate a CloudVLAN installation, and the node of this machine")
    .version(packageJson.version)
    .option("--json", "answer with one JSON document")
    .option("--controller <url>", "base URL of the controller")
    .option("--ca <file>", "PEM file of the CA's root")
    .option("--ca-sha256 <hex>", "SHA-256 of the CA's root certificate (DER)")
    .option("--key-file <file>", "file that holds the API key, for its owner alone (0600)")
    .option("--context <file>", "file of `cvlan login` (default ~/.config/cloudvlan/context.json)")
    .option("--tenant <name>", "tenant by name or id")
    .option("--cvlan <name>", "network by name or id")
    .option("--state <dir>", "state folder of the agent", DEFAULT_STATE)
    .addHelpText("after", EXIT_HELP);
  root.commandsGroup("This machine:");
  statusCommand(root, io);
  doctorCommand(root, io);
  engineCommands(root, io);
  debugCommands(root, io);
  joinCommand(root, io);
  pingCommand(root, io);
  whyCommand(root, io);
  root.commandsGroup("Installation:");
  loginCommand(root, io);
  nodeCommands(root, io);
  cvlanCommands(root, io);
  tokenCommands(root, io);
  policyCommands(root, io);
  settingsCommands(root, io);
  groupCommands(root, io);
  keyCommands(root, io);
  tenantCommands(root, io);
  adminCommands(root, io);
  auditCommands(root, io);
  regionCommands(root, io);
  discoveryServerCommands(root, io);
  root.commandsGroup("This tool:");
  completionCommand(root, io);
  root.helpCommand("help [command]", "say how a command is used");
  for (const command of everyCommand(root)) {
    if (command !== root)
      command.addHelpText("after", `${EXIT_HELP}Options that every command takes stand in \`cvlan --help\`.\n`);
  }
  return root;
}

/**
 * Runs one command line.
 * @param argv arguments after the program's name.
 */
export async function runCli(argv: readonly string[], io: Io): Promise<ExitCode> {
  const root = program(io);
  // The command line that asks for it may be the very thing that is wrong.
  const json = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : undefined).includes("--json");
  for (const command of everyCommand(root)) {
    command
      .exitOverride()
      .allowExcessArguments(false)
      .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => void (json || io.err(text)) });
  }
  try {
    await using _telemetry = await tellCollector(io);
    await root.parseAsync(argv, { from: "user" });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError && (error.exitCode === 0 || !json)) {
      return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    }
    const report = reportOf(error instanceof CommanderError ? usageErrorOf(error) : error);
    io.err(json ? `${JSON.stringify({ error: report })}\n` : errorText(report));
    return error instanceof CommanderError ? EXIT.usage : exitCodeOf(error);
  }
}

/** @throws UsageError when the environment names something else than a collector. */
async function tellCollector(io: Io): Promise<AsyncDisposable> {
  const { collector, clock } = io;
  const config = telemetrySchema.safeParse(collector ? { otlp: collector } : {});
  if (!config.success) {
    const why = config.error.issues.map(({ message }) => message).join("; ");
    throw new UsageError(`OTEL_EXPORTER_OTLP_ENDPOINT ${why}`, "correct it, or unset it");
  }
  const log = { warn: (_fields: object, message: string) => io.err(`${message}\n`) };
  return startTelemetry(config.data, { serviceName: "cvlan", version: packageJson.version, clock, log });
}

function usageErrorOf({ code, message }: CommanderError): UsageError {
  const what = code === "commander.help" ? "no command is given" : message.replace(/^error: /, "");
  return new UsageError(what, "see `cvlan --help`");
}

/** A command and all below it. */
export function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}
