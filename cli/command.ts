import type { DescMessage, JsonObject, MessageShape } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { inSpan } from "@cloudvlan/kit/telemetry";
import type { Io } from "./io.ts";
import { jsonOf, jsonText } from "./print.ts";
import { type GlobalOptions, openSession, type Session } from "./session.ts";

/** One run of a command: where it writes, what it was given. */
export interface Run<O> {
  readonly io: Io;
  readonly options: GlobalOptions & O;
  /** Positional arguments. */
  readonly args: readonly string[];
}

/** `cvlan node list`, without what was given to it. */
function nameOf(command: Command): string {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();
}

/** Commander's action for a command that needs no controller. */
export function local<O = object>(
  io: Io,
  work: (run: Run<O>) => Promise<void>,
): (...given: unknown[]) => Promise<void> {
  return async (...given) => {
    const command = given.at(-1) as Command;
    const run = { io, options: command.optsWithGlobals<GlobalOptions & O>(), args: command.args };
    await inSpan(nameOf(command), {}, () => work(run));
  };
}

/** Commander's action for a command that asks the controller. */
export function remote<O = object>(
  io: Io,
  work: (session: Session, run: Run<O>) => Promise<void>,
): (...given: unknown[]) => Promise<void> {
  return local<O>(io, async (run) => {
    using session = await openSession(io, run.options);
    await work(session, run);
  });
}

/** Prints an answer: the message itself under `--json`, the text for people otherwise. */
export function show<S extends DescMessage>(
  run: Pick<Run<object>, "io" | "options">,
  schema: S,
  message: MessageShape<S>,
  text: () => string,
): void {
  run.io.out(run.options.json ? jsonOf(schema, message) : text());
}

/** Prints an answer made of several messages. */
export function showDocument(
  run: Pick<Run<object>, "io" | "options">,
  document: () => JsonObject,
  text: () => string,
): void {
  run.io.out(run.options.json ? jsonText(document()) : text());
}
