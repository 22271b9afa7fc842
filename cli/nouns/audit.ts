import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type AuditLog, AuditLogSchema } from "@cloudvlan/gen/entity/v1/audit_log_pb.js";
import { type Command, Option } from "commander";
import { stringify } from "csv-stringify/sync";
import { durationSeconds } from "../args.ts";
import { AUDITED, auditRows, type ServiceRow } from "../audit-rows.ts";
import { remote, type Run, showDocument } from "../command.ts";
import { UsageError } from "../exit.ts";
import type { Io } from "../io.ts";
import { table } from "../print.ts";
import type { Session } from "../session.ts";

interface AuditOptions {
  readonly since?: string;
  readonly until?: string;
  readonly service?: string;
  readonly actor?: string;
  readonly action?: string;
  readonly platform?: boolean;
}

type Format = "json" | "csv";

const COLUMNS = [
  "service",
  "sequence",
  "tenantId",
  "occurredAt",
  "actorType",
  "actor",
  "action",
  "objectId",
  "outcome",
  "requestId",
  "sourceAddress",
  "clusterId",
] as const;

/** `cvlan audit …` */
export function auditCommands(program: Command, io: Io): void {
  const audit = program.command("audit").description("what was done and refused, and by whom");

  withFilters(audit.command("list"))
    .description("show the rows of the last day, or since another time, oldest first")
    .addHelpText("after", "\nExample:\n  cvlan audit list --since 7d --service registry\n")
    .action(
      remote<AuditOptions>(io, async (session, run) => {
        const found: ServiceRow[] = [];
        for await (const row of rowsOf(session, run, "1d")) found.push(row);
        showDocument(
          run,
          () => ({ auditLogs: found.map(documentOf) }),
          () => table(["TIME", "SERVICE", "ACTOR", "ACTION", "OBJECT", "OUTCOME"], found.map(cellsOf)),
        );
      }),
    );

  withFilters(audit.command("export"))
    .description("write all rows, or those since a time, as JSON or CSV lines, oldest first")
    .addOption(new Option("--format <format>", "form of a line (default: json)").choices(["json", "csv"]))
    .addHelpText("after", "\nExample:\n  cvlan audit export --format csv > audit.csv\n")
    .action(
      remote<AuditOptions & { readonly format?: Format }>(io, async (session, run) => {
        const { json, format = "json" } = run.options;
        if (json && format !== "json")
          throw new UsageError("--json and --format csv exclude each other", "leave one out");
        if (format === "csv") io.out(csvLine([...COLUMNS]));
        for await (const found of rowsOf(session, run, undefined)) {
          const document = documentOf(found);
          const cells = () => COLUMNS.map((column) => textOf(document[column]));
          io.out(format === "csv" ? csvLine(cells()) : `${JSON.stringify(document)}\n`);
        }
      }),
    );
}

function withFilters(command: Command): Command {
  return command
    .option("--since <time>", "from this time on: RFC 3339, or how long ago like 90s, 15m, 1h, 7d")
    .option("--until <time>", "before this time, in the same forms")
    .addOption(new Option("--service <name>", "only the log of this service").choices(AUDITED))
    .option("--actor <subject>", "only what this subject did, for example apikey:apikey_…")
    .option("--action <prefix>", "only RPCs whose full name begins so, for example /cloudvlan.registry.v1.")
    .option("--platform", "rows that belong to no tenant, for keys of the platform");
}

async function* rowsOf(
  session: Session,
  { io, options }: Run<AuditOptions>,
  defaultSince: string | undefined,
): AsyncGenerator<ServiceRow> {
  const { since = defaultSince, until, service, actor = "", action = "", platform } = options;
  const nowMs = io.clock.nowMs();
  const filter = {
    ...(since !== undefined && { since: timeOf("--since", since, nowMs) }),
    ...(until !== undefined && { until: timeOf("--until", until, nowMs) }),
    actor,
    actionPrefix: action,
  };
  const tenantId = platform ? "" : await session.tenantId();
  yield* auditRows(session, service === undefined ? AUDITED : [service], { tenantId, filter }, io.signal);
}

/** @throws UsageError for text that is neither a duration nor a point in time with its zone. */
function timeOf(option: string, text: string, nowMs: number): Timestamp {
  if (/^\d+[smhd]$/.test(text)) return timestampFromMs(nowMs - durationSeconds(text) * 1000);
  const ms = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (Number.isFinite(ms)) return timestampFromMs(ms);
  throw new UsageError(`${option} ${JSON.stringify(text)} is not a time`, "write it like 2026-01-31T08:00:00Z or 7d");
}

function documentOf({ service, row }: ServiceRow): JsonObject {
  const whole = toJson(AuditLogSchema, row, { alwaysEmitImplicit: true });
  return { service, ...(whole as JsonObject) };
}

function cellsOf({ service, row }: ServiceRow): string[] {
  return [timeText(row), service, row.actor, row.action, row.objectId, row.outcome];
}

/** Every column holds text: a number of 64 bits is text in JSON too. */
function textOf(value: JsonObject[string] | undefined): string {
  return typeof value === "string" ? value : "";
}

function timeText({ occurredAt }: AuditLog): string {
  return occurredAt ? timestampDate(occurredAt).toISOString() : "";
}

/** RFC 4180. What a spreadsheet would take for a formula gets a `'` before it. */
function csvLine(cells: readonly string[]): string {
  return stringify([cells], { escape_formulas: true, record_delimiter: "\r\n" });
}
