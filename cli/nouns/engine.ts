import type { Command } from "commander";
import { ReplaceEngineResponseSchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { localAgent } from "../agent-client.ts";
import { local, show } from "../command.ts";
import type { Io } from "../io.ts";
import { fields } from "../print.ts";

/** `cvlan engine …` */
export function engineCommands(program: Command, io: Io): void {
  const engine = program.command("engine").description("the process that forwards this machine's packets");

  engine
    .command("replace")
    .description("start the installed engine in place of the one that runs; sessions and allowed flows go on")
    .addHelpText(
      "after",
      "\nAfter an upgrade the agent does this by itself. Where the two versions cannot hand over it is an ordinary restart.\n" +
        "\nExample:\n  cvlan engine replace --json | jq .takeover\n",
    )
    .action(
      local(io, async (run) => {
        using agent = localAgent(run.options);
        const response = await agent.client.replaceEngine({}, { signal: io.signal });
        const { engineVersion, takeover } = response;
        const outcome: [string, string][] =
          takeover?.ordinary === ""
            ? [
                ["sessions", String(takeover.sessions)],
                ["flows", String(takeover.flows)],
                ["gap", `${(Number(takeover.gapUs) / 1_000).toFixed(1)} ms`],
              ]
            : [["restarted", takeover?.ordinary ?? "the one before hands nothing over"]];
        show(run, ReplaceEngineResponseSchema, response, () => fields([["engine", engineVersion], ...outcome]));
      }),
    );
}
