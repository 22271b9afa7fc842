import { create, type DescField, type DescMessage, fromJson, isMessage, type JsonValue } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { isMap, isScalar, isSeq, LineCounter, type Node as YamlNode, parseDocument, type Pair } from "yaml";
import { type PolicyDocument, PolicyDocumentSchema } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { UsageError } from "./exit.ts";

/** A policy read from a file, and where each part of it stands. */
export interface PolicyFile {
  readonly document: PolicyDocument;
  /** `file:line:column` of a proto field path such as `rules[3].sources[0].group`, or of its nearest parent. */
  locate(fieldPath: string): string;
  /** Lines on which the rules begin, from 1, in their order. */
  readonly ruleLines: readonly number[];
}

interface Problem {
  readonly offset: number;
  readonly message: string;
}

const WELL_KNOWN_FIX = "see `cvlan policy show` for the form, or the field names in policy.proto";

/**
 * Reads YAML or JSON in the proto's JSON form.
 * @param file name for messages.
 * @throws UsageError with one line a problem: `file:line:column: what`.
 */
export function parsePolicy(file: string, text: string): PolicyFile {
  const lines = new LineCounter();
  const source = parseDocument(text, { lineCounter: lines, uniqueKeys: true, version: "1.2", prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const fail = (problems: readonly Problem[]): never => {
    throw new UsageError(problems.map(({ offset, message }) => `${at(offset)}: ${message}`).join("\n"), WELL_KNOWN_FIX);
  };
  const faults = [...source.errors, ...source.warnings];
  if (faults.length > 0) fail(faults.map(({ pos, message }) => ({ offset: pos[0], message })));

  const positions = new Map<string, number>();
  const problems: Problem[] = [];
  if (source.contents) checkMessage(PolicyDocumentSchema, source.contents, "", positions, problems);
  if (problems.length > 0) fail(problems);

  const document = source.contents
    ? fromJson(PolicyDocumentSchema, source.toJS({ maxAliasCount: 0 }) as JsonValue)
    : create(PolicyDocumentSchema);
  const offsetOf = (fieldPath: string): number => {
    for (let path = fieldPath; path !== ""; path = path.replace(/(^|\.)[^.[\]]+$|\[\d+\]$/, "")) {
      const offset = positions.get(path);
      if (offset !== undefined) return offset;
    }
    return 0;
  };
  const verdict = createValidator().validate(PolicyDocumentSchema, document);
  if (verdict.kind === "error") throw verdict.error;
  if (verdict.kind === "invalid") {
    fail(
      verdict.violations.map(({ field, message }) => {
        const path = pathToString(field);
        return { offset: offsetOf(path), message: `${path}: ${message}` };
      }),
    );
  }
  const ruleLines = document.rules.map((_, index) => lines.linePos(offsetOf(`rules[${index}]`)).line);
  return { document, locate: (fieldPath) => at(offsetOf(fieldPath)), ruleLines };
}

/** Walks the text along the proto: each field must exist and hold what it may. */
function checkMessage(
  schema: DescMessage,
  node: YamlNode,
  path: string,
  positions: Map<string, number>,
  problems: Problem[],
): void {
  const offset = node.range?.[0] ?? 0;
  if (!isMap<YamlNode, YamlNode | null>(node)) {
    problems.push({ offset, message: `${path || "the document"} must be a map of fields` });
    return;
  }
  const chosen = new Map<string, string>();
  for (const pair of node.items) {
    const keyOffset = pair.key.range?.[0] ?? offset;
    const key = isScalar(pair.key) ? String(pair.key.value) : "";
    const field = schema.fields.find(({ name, jsonName }) => key === name || key === jsonName);
    if (!field) {
      const known = schema.fields.map(({ name }) => name).join(", ");
      problems.push({ offset: keyOffset, message: `unknown field ${JSON.stringify(key)}; known are ${known}` });
      continue;
    }
    // Two spellings of one field are as much one too many as two members of a oneof.
    const group = field.oneof?.name ?? field.name;
    const other = chosen.get(group);
    if (other !== undefined) {
      problems.push({ offset: keyOffset, message: `${key} cannot stand beside ${other}` });
      continue;
    }
    chosen.set(group, key);
    const fieldPath = path === "" ? field.name : `${path}.${field.name}`;
    positions.set(fieldPath, keyOffset);
    checkField(schema, field, pair, fieldPath, positions, problems);
  }
}

function checkField(
  schema: DescMessage,
  field: DescField,
  { key, value }: Pair<YamlNode, YamlNode | null>,
  path: string,
  positions: Map<string, number>,
  problems: Problem[],
): void {
  const offset = value?.range?.[0] ?? key.range?.[0] ?? 0;
  if (field.fieldKind === "list") {
    if (!isSeq<YamlNode>(value)) {
      problems.push({ offset, message: `${path} must be a list` });
      return;
    }
    value.items.forEach((item, index) => {
      const itemPath = `${path}[${index}]`;
      positions.set(itemPath, item.range?.[0] ?? offset);
      if (field.listKind === "message") checkMessage(field.message, item, itemPath, positions, problems);
      else checkValue(schema, field, [item.toJSON()], itemPath, item.range?.[0] ?? offset, problems);
    });
  } else if (field.fieldKind === "message" && value) {
    checkMessage(field.message, value, path, positions, problems);
  } else {
    checkValue(schema, field, value?.toJSON() ?? null, path, offset, problems);
  }
}

/** A scalar or enum holds what protobuf's JSON form lets it hold. */
function checkValue(
  schema: DescMessage,
  field: DescField,
  value: unknown,
  path: string,
  offset: number,
  problems: Problem[],
): void {
  try {
    const probe = fromJson(schema, { [field.jsonName]: value as JsonValue });
    if (!isMessage(probe)) throw new TypeError("not a message");
  } catch {
    const choices =
      field.fieldKind === "enum"
        ? `; one of ${field.enum.values
            .slice(1)
            .map(({ name }) => name)
            .join(", ")}`
        : "";
    problems.push({ offset, message: `${path} cannot hold ${JSON.stringify(value)}${choices}` });
  }
}
