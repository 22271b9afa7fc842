import type { Command } from "commander";

/** What may stand at one place of a command line. */
export interface Place {
  /** Words that lead here, without the program's name. */
  readonly path: readonly string[];
  readonly commands: readonly Word[];
  readonly options: readonly Flag[];
  /** What the arguments take, in order; the last also stands for further ones. */
  readonly args: readonly Value[];
}

export interface Word {
  readonly name: string;
  readonly description: string;
}

export interface Flag {
  /** `--state`, `-c`. */
  readonly names: readonly string[];
  readonly description: string;
  /** Undefined for a flag without a value. */
  readonly value: Value | undefined;
}

/** What a value may be. */
export type Value =
  | { readonly kind: "file" }
  | { readonly kind: "choices"; readonly choices: readonly string[] }
  | { readonly kind: "other" };

const FILES: ReadonlySet<string> = new Set(["file", "path", "dir"]);

/** Every place of a program's command lines, the program's own first; options of the program count everywhere. */
export function placesOf(program: Command): Place[] {
  return placesBelow(program, [], flagsOf(program));
}

function placesBelow(command: Command, path: readonly string[], common: readonly Flag[]): Place[] {
  const own = path.length === 0 ? [] : flagsOf(command);
  const visible = command.createHelp().visibleCommands(command);
  const place: Place = {
    path,
    commands: visible.map((each) => ({ name: each.name(), description: sentence(each.description()) })),
    options: [...own, ...common, HELP],
    args: command.registeredArguments.map((argument) => valueOf(argument.name(), argument.argChoices)),
  };
  return [place, ...command.commands.flatMap((each) => placesBelow(each, [...path, each.name()], common))];
}

const HELP: Flag = { names: ["-h", "--help"], description: "say how it is used", value: undefined };

function flagsOf(command: Command): Flag[] {
  return command.options.map((option) => {
    const placeholder = /<([a-z-]+)(?:\.\.\.)?>/.exec(option.flags)?.[1] ?? "";
    return {
      names: [option.short, option.long].filter((name) => name !== undefined),
      description: sentence(option.description),
      value: option.required || option.optional ? valueOf(placeholder, option.argChoices) : undefined,
    };
  });
}

function valueOf(placeholder: string, choices: readonly string[] | undefined): Value {
  if (choices && choices.length > 0) return { kind: "choices", choices };
  return FILES.has(placeholder) ? { kind: "file" } : { kind: "other" };
}

/** One line that no shell reads as anything but text. */
function sentence(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9 ,.;()/_=-]/g, "").trim();
}
