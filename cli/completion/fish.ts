import { leadingPaths, valuesOf } from "./cases.ts";
import type { Place, Value } from "./tree.ts";

/** A completion script for fish 3, for `~/.config/fish/completions/<program>.fish`. */
export function fishScript(program: string, places: readonly Place[]): string {
  const here = (path: readonly string[]) => [program, ...path].join(" ");
  const lines = places.flatMap(({ path, commands, options, args }) => {
    const at = `complete -c ${program} -n '__${program}_at "${here(path)}"'`;
    return [
      ...commands.map(({ name, description }) => `${at} -f -a ${name} -d '${description}'`),
      ...options.map(({ names, description, value }) => {
        const spelled = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
        return `${at} ${spelled.join(" ")} -d '${description}'${value ? fishValue(value) : ""}`;
      }),
      ...args.map(
        (arg) =>
          `${at}${arg.kind === "choices" ? ` -f -a '${arg.choices.join(" ")}'` : arg.kind === "file" ? " -F" : " -f"}`,
      ),
    ];
  });
  return `# fish completion for ${program}: ${program} completion fish | source
function __${program}_at
    set -l place ${program}
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch "$place $word"
            case ${valuesOf(places)
              .map(({ path, name }) => `'${here(path)} ${name}'`)
              .join(" ")}
                set skip 1
            case ${leadingPaths(places)
              .map((path) => `'${here(path)}'`)
              .join(" ")}
                set place "$place $word"
        end
    end
    test "$place" = "$argv[1]"
end
complete -c ${program} -f
${lines.join("\n")}
`;
}

function fishValue(value: Value): string {
  if (value.kind === "file") return " -r -F";
  return value.kind === "choices" ? ` -x -a '${value.choices.join(" ")}'` : " -x";
}
