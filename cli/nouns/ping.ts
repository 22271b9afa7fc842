import { create, toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type PingResponse, PingResponseSchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { localAgent } from "../agent-client.ts";
import { wholeNumber } from "../args.ts";
import { local } from "../command.ts";
import type { Io } from "../io.ts";
import { Refusal } from "@cloudvlan/kit/errors";
import { printable } from "../print.ts";

interface PingOptions {
  count?: string;
  interval?: string;
  timeout?: string;
}

/** `cvlan ping` */
export function pingCommand(program: Command, io: Io): void {
  program
    .command("ping <peer>")
    .description("ping a peer by name or overlay address, through the tunnel")
    .option("-c, --count <n>", "how often, up to 100 (default 4)")
    .option("-i, --interval <ms>", "between two, in milliseconds (default 1000)")
    .option("-W, --timeout <ms>", "wait for each answer, in milliseconds (default 5000)")
    .addHelpText("after", "\nExample:\n  cvlan ping web1 -c 1\n")
    .action(
      local<PingOptions>(io, async (run) => {
        const { count, interval, timeout, json } = run.options;
        const [destination = ""] = run.args;
        const request = {
          destination,
          count: wholeNumber("--count", count, 100),
          intervalMs: wholeNumber("--interval", interval, 10_000),
          timeoutMs: wholeNumber("--timeout", timeout, 60_000),
        };
        using agent = localAgent(run.options);
        const replies: PingResponse[] = [];
        for await (const reply of agent.client.ping(request, { signal: io.signal })) {
          replies.push(reply);
          if (!json) io.out(replyText(destination, reply));
        }
        if (json) io.out(jsonText(replies));
        const answered = replies.filter(({ reply }) => reply?.rttUs !== undefined).length;
        if (answered === 0) {
          throw new Refusal("conflict", "NO_ANSWER", `${destination} did not answer`, {
            remedy: `ask \`cvlan why ${destination}\``,
          });
        }
        if (!json) io.out(`${replies.length} sent, ${answered} answered\n`);
      }),
    );
}

function replyText(destination: string, { address, reply }: PingResponse): string {
  const head = `${printable(destination)} (${address}) seq=${reply?.sequence ?? 0}`;
  if (reply?.error) return `${head} not sent: ${printable(reply.error)}\n`;
  if (reply?.rttUs === undefined) return `${head} no answer\n`;
  return `${head} time=${(Number(reply.rttUs) / 1_000).toFixed(2)} ms\n`;
}

/** The stream as one document: the list of its messages. */
function jsonText(replies: readonly PingResponse[]): string {
  const list = replies.map((reply) => toJson(PingResponseSchema, create(PingResponseSchema, reply)));
  return `${JSON.stringify({ replies: list }, undefined, 2)}\n`;
}
