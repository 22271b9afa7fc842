import { leadingPaths, valuesOf } from "./cases.ts";
import type { Place, Value } from "./tree.ts";

/** A completion script for bash 4 or newer, without bash-completion. */
export function bashScript(program: string, places: readonly Place[]): string {
  const here = (path: readonly string[]) => [program, ...path].join(" ");
  const cases = places.map(({ path, commands, options, args }) => {
    const words = [...commands.map(({ name }) => name), ...options.flatMap(({ names }) => names)].join(" ");
    return `    "${here(path)}") words="${words}"; ${args.map((arg) => bashValue(arg, "words+=")).join("")};;`;
  });
  const values = valuesOf(places).map(
    ({ path, name, value }) =>
      `    "${here(path)} ${name}") ${bashValue(value, "words=")}_${program}_values; return ;;`,
  );
  return `# bash completion for ${program}: source <(${program} completion bash)
_${program}_values() {
  mapfile -t COMPREPLY < <(compgen \${files:+-f} -W "$words" -- "$cur")
  if [ -n "$files" ]; then compopt -o filenames 2>/dev/null || true; fi
}
_${program}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} place="${program}" words="" files="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$place \${COMP_WORDS[i]}" in
${valuesOf(places)
  .map(({ path, name }) => `      "${here(path)} ${name}") i=$((i + 1)) ;;`)
  .join("\n")}
${leadingPaths(places)
  .map((path) => `      "${here(path)}") place="${here(path)}" ;;`)
  .join("\n")}
    esac
  done
  case "$place $prev" in
${values.join("\n")}
  esac
  case "$place" in
${cases.join("\n")}
  esac
  _${program}_values
}
complete -F _${program} ${program}
`;
}

function bashValue(value: Value, assign: string): string {
  if (value.kind === "file") return "files=1; ";
  return value.kind === "choices" ? `${assign}" ${value.choices.join(" ")}"; ` : "";
}
