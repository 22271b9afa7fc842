import { type Command, Option } from "commander";
import { type ExplainResponse, ExplainResponseSchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { localAgent } from "../agent-client.ts";
import { splitDestination } from "../args.ts";
import { local, show } from "../command.ts";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Io } from "../io.ts";
import { printable, table } from "../print.ts";

/** IP protocol numbers; 0 lets the agent choose ICMP of the right family. */
const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 0, tcp: 6, udp: 17 };

/** `cvlan why` */
export function whyCommand(program: Command, io: Io): void {
  program
    .command("why <destination>")
    .description(
      "what would happen to a packet to NAME or ADDRESS, with :PORT for TCP; asked of the engine's own filter",
    )
    .addOption(
      new Option("--protocol <protocol>", "protocol (default: tcp with a port, icmp without)").choices(
        Object.keys(PROTOCOLS),
      ),
    )
    .addHelpText(
      "after",
      "\nExamples:\n  cvlan why web1:443\n  cvlan why web1:53 --protocol udp\n  cvlan why [fd00::2]:22\n",
    )
    .action(
      local<{ protocol?: string }>(io, async (run) => {
        const [text = ""] = run.args;
        const { host, port } = splitDestination(text);
        const protocol = PROTOCOLS[run.options.protocol ?? (port > 0 ? "tcp" : "icmp")] ?? 0;
        using agent = localAgent(run.options);
        const response = await agent.client.explain({ destination: host, protocol, port }, { signal: io.signal });
        show(run, ExplainResponseSchema, response, () => whyText(text, response));
        if (!response.explanation?.forwarded) {
          const blocked = response.explanation?.hops.find(({ ok }) => !ok);
          throw new Refusal(
            "conflict",
            "NOT_FORWARDED",
            `a packet to ${text} is stopped at: ${blocked?.name ?? "unknown"}`,
            {
              remedy: blocked?.remedy ?? "",
            },
          );
        }
      }),
    );
}

function whyText(destination: string, { explanation }: ExplainResponse): string {
  const hops = (explanation?.hops ?? []).map((hop) => [hop.name, hop.ok ? "ok" : "BLOCKED", hop.detail]);
  const verdict = explanation?.forwarded ? "is forwarded" : "is not forwarded";
  return `${table(["HOP", "VERDICT", "FOUND"], hops)}a packet to ${printable(destination)} ${verdict}\n`;
}
