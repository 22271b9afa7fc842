import { Argument, type Command } from "commander";
import { local } from "../command.ts";
import { bashScript } from "../completion/bash.ts";
import { fishScript } from "../completion/fish.ts";
import { type Place, placesOf } from "../completion/tree.ts";
import { zshScript } from "../completion/zsh.ts";
import type { Io } from "../io.ts";

const SCRIPTS: ReadonlyMap<string, (program: string, places: readonly Place[]) => string> = new Map([
  ["bash", bashScript],
  ["zsh", zshScript],
  ["fish", fishScript],
]);

/** `cvlan completion` */
export function completionCommand(program: Command, io: Io): void {
  program
    .command("completion")
    .description("print a script that completes command lines of cvlan")
    .addArgument(new Argument("<shell>", "shell to complete in").choices([...SCRIPTS.keys()]))
    .addHelpText(
      "after",
      "\nExamples:\n  source <(cvlan completion bash)\n  source <(cvlan completion zsh)\n  cvlan completion fish | source\n",
    )
    .action(
      local(io, async ({ args, options }) => {
        const [shell = ""] = args;
        const script = SCRIPTS.get(shell)?.(program.name(), placesOf(program)) ?? "";
        io.out(options.json ? `${JSON.stringify({ shell, script })}\n` : script);
      }),
    );
}
