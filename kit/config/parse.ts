import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import type * as z from "zod";
import { ConfigError, type ConfigProblem } from "./error.ts";

export const UNKNOWN_KEY = "unknown key; remove it or correct its spelling";

type Path = readonly PropertyKey[];

function keyOf(path: Path): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .replace(/^\./, "");
}

/** Where a key stands; where its nearest parent stands when it is absent. */
function positionOf(document: Document, lines: LineCounter, path: Path): string {
  for (let length = path.length; length >= 0; length--) {
    const offset = offsetOf(document, path.slice(0, length));
    if (offset !== undefined) {
      const { line, col } = lines.linePos(offset);
      return `${line}:${col}`;
    }
  }
  return "";
}

function offsetOf(document: Document, path: Path): number | undefined {
  const parent = path.length === 0 ? undefined : document.getIn(path.slice(0, -1), true);
  const last = path.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === last);
    if (isNode(pair?.key)) return pair.key.range?.[0];
  }
  const node = path.length === 0 ? document.contents : document.getIn(path, true);
  return isNode(node) ? node.range?.[0] : undefined;
}

function problemsOf(document: Document, lines: LineCounter, issue: z.core.$ZodIssue): ConfigProblem[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      const path = [...issue.path, key];
      return {
        position: positionOf(document, lines, path),
        key: keyOf(path),
        message: UNKNOWN_KEY,
      };
    });
  }
  return [{ position: positionOf(document, lines, issue.path), key: keyOf(issue.path), message: issue.message }];
}

/**
 * Turns YAML into what a schema describes. Nothing is guessed: an unknown, duplicate or ill-typed key is an error.
 * @param file name for messages.
 * @throws ConfigError naming line, column, key and remedy of each problem.
 */
export function parseConfig<T>(file: string, text: string, schema: z.ZodType<T>): T {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, version: "1.2", prettyErrors: false });
  const faults = [...document.errors, ...document.warnings].map(({ pos, message }) => {
    const { line, col } = lines.linePos(pos[0]);
    return { position: `${line}:${col}`, key: "", message };
  });
  if (faults.length > 0) throw new ConfigError(file, faults);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch {
    throw new ConfigError(file, [{ position: "", key: "", message: "aliases are not allowed; write the value out" }]);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ConfigError(
    file,
    result.error.issues.flatMap((issue) => problemsOf(document, lines, issue)),
  );
}
