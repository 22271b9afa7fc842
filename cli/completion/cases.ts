import type { Place, Value } from "./tree.ts";

/** An option that takes a value, at one place. */
export interface ValueCase {
  readonly path: readonly string[];
  readonly name: string;
  readonly value: Value;
}

/** Every option that takes a value, by place and spelling. */
export function valuesOf(places: readonly Place[]): ValueCase[] {
  return places.flatMap(({ path, options }) =>
    options.flatMap(({ names, value }) => (value ? names.map((name) => ({ path, name, value })) : [])),
  );
}

/** Paths of commands: a word that makes one of them leads on. */
export function leadingPaths(places: readonly Place[]): (readonly string[])[] {
  return places.map(({ path }) => path).filter(({ length }) => length > 0);
}
