import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { PathMtuState, PathMtuStateSchema, type PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { UsageError } from "./exit.ts";

/** One JSON document in the proto's JSON form, with every field that has a default left out as the form wants it. */
export function jsonOf<S extends DescMessage>(schema: S, message: MessageShape<S>): string {
  return jsonText(toJson(schema, message));
}

export function jsonText(value: JsonValue): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Columns aligned by spaces; the last is not padded. Cells hold no control characters: names may come from others. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map((row) => row.map((text) => printable(text) || "-"));
  const widths = header.map((_, column) => Math.max(...lines.map((row) => (row[column] ?? "").length)));
  return lines
    .map((row) => row.map((text, i) => (i === row.length - 1 ? text : text.padEnd(widths[i] ?? 0))).join("  "))
    .map((line) => `${line}\n`)
    .join("");
}

/** `label: value` lines, values aligned. */
export function fields(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([label]) => label.length)) + 1;
  return pairs.map(([label, value]) => `${`${label}:`.padEnd(width)}  ${printable(value) || "-"}\n`).join("");
}

/** Text that cannot move a terminal's cursor or change its colours. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, "?");
}

/** Word of an enum value: `NODE_STATUS_ACTIVE` is `active`. */
export function word(name: string | undefined): string {
  return (name ?? "").toLowerCase().replaceAll("_", "-");
}

/** `12 s ago`, `3 h ago`; empty when there is no time. */
export function ago(time: Timestamp | undefined, nowMs: number): string {
  if (!time) return "";
  const delta = timestampMs(time) - nowMs;
  return delta > 0 ? `in ${span(delta)}` : `${span(-delta)} ago`;
}

/** The largest fitting unit: `90 s`, `3 min`, `2 d`. */
export function span(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** `1420`, `1340 assumed`: the largest packet inside the tunnel; empty while nothing large was sent there. */
export function pathMtuText({ pathMtu, pathMtuState }: Pick<PeerStatus, "pathMtu" | "pathMtuState">): string {
  if (pathMtu === 0) return "";
  const how = word(PathMtuStateSchema.value[pathMtuState]?.localName);
  return pathMtuState === PathMtuState.CONFIRMED || how === "" ? `${pathMtu}` : `${pathMtu} ${how}`;
}

/** `192.0.2.1:51820`, `[2001:db8::1]:51820` */
export function endpointText({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Bytes in powers of 1,024. */
export function size(bytes: bigint): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

export interface ErrorReport {
  readonly message: string;
  readonly reason: string;
  readonly field: string;
  readonly object_id: string;
  readonly remedy: string;
}

/** What, where and what next of any error. */
export function reportOf(error: unknown): ErrorReport {
  const blank = { reason: "", field: "", object_id: "", remedy: "" };
  if (error instanceof ConnectError) {
    const detail = error.findDetails(ErrorDetailSchema)[0];
    return {
      message: error.rawMessage,
      reason: detail?.reason ?? "",
      field: detail?.field ?? "",
      object_id: detail?.objectId ?? "",
      remedy: detail?.remedy ?? "",
    };
  }
  if (error instanceof Refusal) {
    const { field = "", objectId = "", remedy = "" } = error.detail;
    return { message: error.message, reason: error.reason, field, object_id: objectId, remedy };
  }
  if (error instanceof UsageError) return { ...blank, message: error.message, reason: "USAGE", remedy: error.remedy };
  return { ...blank, message: error instanceof Error ? error.message : String(error) };
}

/** The report as people read it. */
export function errorText({ message, field, object_id, remedy }: ErrorReport): string {
  const where = [field && `field ${field}`, object_id].filter((part) => part !== "").join(", ");
  return [
    `cvlan: ${printableLines(message)}\n`,
    where && `  where: ${printable(where)}\n`,
    remedy && `  what next: ${printableLines(remedy)}\n`,
  ].join("");
}

function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}
