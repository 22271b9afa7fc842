import { clone, type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";

const REDACTED = "[redacted]";
const MAX_DEPTH = 6;

/** Names of fields whose values are never written, in any spelling (`apiKey`, `api_key`, `API-KEY`). */
const SECRET =
  /secret|token$|authorization|password|passphrase|credential|joinstring|privatekey|masterkey|seed$|^key$|apikey$|bearer|cookie|callcontext|cloudvlancallcontext|^pem$|jwk/;

function isSecret(name: string): boolean {
  return SECRET.test(name.toLowerCase().replaceAll(/[^a-z]/g, ""));
}

/** Something an API key or join string looks like, wherever it stands in a text. */
const SECRET_TEXT = /cvk_[A-Za-z0-9-]+_[A-Za-z0-9-]+_[A-Za-z0-9_-]+|cvlan1\.[A-Za-z0-9_-]+|:\/\/[^\s/:@]*:[^\s/@]*@/g;

function redactText(text: string): string {
  return text.replace(SECRET_TEXT, REDACTED);
}

function redactError(error: Error, depth: number): object {
  return {
    type: error.name,
    message: redactText(error.message),
    stack: redactText(error.stack ?? ""),
    ...(error.cause === undefined ? {} : { cause: redactValue("cause", error.cause, depth + 1) }),
  };
}

function redactValue(name: string, value: unknown, depth: number): unknown {
  if (value === undefined || value === null) return value;
  if (isSecret(name)) return REDACTED;
  if (typeof value === "string") return redactText(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object") return value;
  if (depth >= MAX_DEPTH) return "[deep]";
  if (value instanceof Error) return redactError(value, depth);
  if (value instanceof Date) return value;
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if ("$typeName" in value) return `[${String(value.$typeName)}]`;
  if (Array.isArray(value)) return value.slice(0, 100).map((item) => redactValue("", item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, redactValue(key, item, depth + 1)] as const),
  );
}

/**
 * Replaces what must not be written: values under secret names, API keys, join strings and URL passwords inside texts,
 * bytes (their length stays) and whole protobuf messages (their type stays; `loggable` shows one).
 */
export function redactFields(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).map(([key, item]) => [fieldName(key), redactValue(key, item, 0)] as const),
  );
}

/** Fields of a line are in snake_case, whatever the code calls what it writes. */
function fieldName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function clearRedacted(message: ReflectMessage): void {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    if (field.proto.options?.debugRedact === true) {
      message.clear(field);
    } else if (field.fieldKind === "message") {
      clearRedacted(message.get(field));
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of message.get(field)) if (isReflected(item)) clearRedacted(item);
    } else if (field.fieldKind === "map" && field.mapKind === "message") {
      for (const item of message.get(field).values()) if (isReflected(item)) clearRedacted(item);
    }
  }
}

function isReflected(value: unknown): value is ReflectMessage {
  return typeof value === "object" && value !== null && "fields" in value && "desc" in value;
}

/** A protobuf message as JSON for a log line, without the fields marked `debug_redact`. */
export function loggable<S extends DescMessage>(schema: S, message: MessageShape<S>): JsonValue {
  const copy = clone(schema, message);
  clearRedacted(reflect(schema, copy));
  return toJson(schema, copy);
}
