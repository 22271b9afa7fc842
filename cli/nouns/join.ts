import { open } from "node:fs/promises";
import type { Command } from "commander";
import { JoinResponseSchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { localAgent } from "../agent-client.ts";
import { local, show } from "../command.ts";
import { UsageError } from "../exit.ts";
import type { Io } from "../io.ts";
import { working } from "../progress.ts";

/** A join string is at most 4,096 characters; a line end is forgiven. */
const MAX_BYTES = 4_100;
/** Milliseconds; the engine may just be starting, and the controller asks its CA. */
const TIMEOUT_MS = 90_000;

/** `cvlan join` */
export function joinCommand(program: Command, io: Io): void {
  program
    .command("join")
    .description(
      "make this machine a node; the join string is read from standard input or a file, never from arguments",
    )
    .option("--file <path>", "read the join string from a file")
    .option("--name <name>", "wanted name (default: the host's)")
    .addHelpText(
      "after",
      "\nExamples:\n  cvlan token create | ssh web1 cvlan join\n  cvlan join --file join.txt --name web1\n",
    )
    .action(
      local<{ file?: string; name?: string }>(io, async (run) => {
        const { file, name = "" } = run.options;
        const text = file === undefined ? await io.stdin(MAX_BYTES) : await readShort(file);
        if (text === undefined) {
          throw new UsageError("no join string is given", "pipe it in, or name a file with --file");
        }
        using agent = localAgent(run.options);
        const joinString = text.trim();
        if (joinString.length < 16) throw new UsageError("the join string is empty or cut off", "copy it whole");
        const response = await working(io, run.options, "joining", () =>
          agent.client.join({ joinString, name }, { signal: io.signal, timeoutMs: TIMEOUT_MS }),
        );
        const { status } = response;
        show(run, JoinResponseSchema, response, () => `joined ${status?.cvlanName} as ${status?.name}\n`);
      }),
    );
}

async function readShort(path: string): Promise<string> {
  try {
    await using file = await open(path, "r");
    const stat = await file.stat();
    // A pipe, as of `<(…)`, is nobody else's.
    if (stat.isFile() && (stat.mode & 0o077) !== 0) {
      throw new UsageError(`${path} holds a secret and others may read it`, `chmod 600 ${path}`);
    }
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES + 1), 0, MAX_BYTES + 1, 0);
    if (bytesRead > MAX_BYTES) throw new UsageError(`${path} is too long for a join string`, "name the right file");
    return buffer.toString("utf8", 0, bytesRead);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    throw new UsageError(`${path} cannot be read (${code})`, "check the path and its permissions");
  }
}
