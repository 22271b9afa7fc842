import { create, toJson } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Command } from "commander";
import { type AgentStatus, AgentStatusSchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { localAgent } from "../agent-client.ts";
import { local, type Run, show } from "../command.ts";
import type { Io } from "../io.ts";
import { statusLine, statusText } from "../status-text.ts";

/** Milliseconds between two drawings on a terminal: ages grow by themselves. */
const REDRAW_MS = 1_000;
/** Cursor to the top left, everything below cleared (ECMA-48: CUP, ED). */
const TOP = "\u001b[H\u001b[J";

/** `cvlan status` */
export function statusCommand(program: Command, io: Io): void {
  program
    .command("status")
    .description("this machine's node: health, network, addresses, peers, and what is wrong")
    .option("--watch", "go on with each change until interrupted; with --json one document a line")
    .addHelpText("after", "\nExamples:\n  cvlan status\n  cvlan status --watch\n  cvlan status --json | jq .health\n")
    .action(
      local<{ watch?: boolean }>(io, async (run) => {
        if (run.options.watch) return await watch(io, run);
        using agent = localAgent(run.options);
        const { status } = await agent.client.getStatus({}, { signal: io.signal });
        const known = status ?? create(AgentStatusSchema);
        show(run, AgentStatusSchema, known, () => statusText(known, io.clock.nowMs()));
      }),
    );
}

async function watch(io: Io, { options }: Run<object>): Promise<void> {
  using agent = localAgent(options);
  const print = options.json ? jsonLines(io) : io.terminal ? drawing(io) : textLines(io);
  try {
    for await (const { status } of agent.client.watchStatus({}, { signal: io.signal })) {
      if (status) print(status);
    }
  } catch (error) {
    const interrupted = io.signal.aborted && error instanceof ConnectError && error.code === Code.Canceled;
    if (!interrupted) throw error;
  } finally {
    print(undefined);
  }
}

/** Takes each status, and undefined at the end. */
type Printer = (status: AgentStatus | undefined) => void;

function jsonLines(io: Io): Printer {
  return (status) => status && io.out(`${JSON.stringify(toJson(AgentStatusSchema, status))}\n`);
}

function textLines(io: Io): Printer {
  return (status) => status && io.out(statusLine(status, io.clock.nowMs()));
}

function drawing(io: Io): Printer {
  let redraw: NodeJS.Timeout | undefined;
  return (status) => {
    clearInterval(redraw);
    if (!status) return;
    const since = io.clock.monotonicMs();
    const draw = () => io.out(TOP + statusText(status, io.clock.nowMs(), io.clock.monotonicMs() - since));
    draw();
    redraw = setInterval(draw, REDRAW_MS);
  };
}
