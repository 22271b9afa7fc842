import { leadingPaths, valuesOf } from "./cases.ts";
import type { Place, Value } from "./tree.ts";

/** A completion script for zsh 5, for a file `_<program>` in fpath, or to be sourced after compinit. */
export function zshScript(program: string, places: readonly Place[]): string {
  const here = (path: readonly string[]) => [program, ...path].join(" ");
  const cases = places.map(({ path, commands, options, args }) => {
    const words = [
      ...commands,
      ...options.flatMap(({ names, description }) => names.map((name) => ({ name, description }))),
    ].map(({ name, description }) => `"${name}:${description}"`);
    const further = args.map((arg) => `${zshValue(arg)}; `).join("");
    return `    "${here(path)}") entries=(${words.join(" ")}); _describe "${here(path)}" entries; ${further};;`;
  });
  return `#compdef ${program}
# zsh completion for ${program}: source <(${program} completion zsh)
_${program}() {
  local place="${program}" i
  local -a entries
  for ((i = 2; i < CURRENT; i++)); do
    case "$place \${words[i]}" in
${valuesOf(places)
  .map(({ path, name }) => `      "${here(path)} ${name}") ((i++)) ;;`)
  .join("\n")}
${leadingPaths(places)
  .map((path) => `      "${here(path)}") place="${here(path)}" ;;`)
  .join("\n")}
    esac
  done
  case "$place \${words[CURRENT-1]}" in
${valuesOf(places)
  .map(({ path, name, value }) => `    "${here(path)} ${name}") ${zshValue(value)}; return ;;`)
  .join("\n")}
  esac
  case "$place" in
${cases.join("\n")}
  esac
}
if [ "$funcstack[1]" = "_${program}" ]; then _${program} "$@"; else compdef _${program} ${program}; fi
`;
}

function zshValue(value: Value): string {
  if (value.kind === "file") return "_files";
  return value.kind === "choices" ? `compadd -- ${value.choices.join(" ")}` : ":";
}
