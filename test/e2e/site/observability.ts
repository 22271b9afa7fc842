import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parser } from "@prometheus-io/lezer-promql";
import { parse } from "yaml";
import * as z from "zod";

const inClone = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** Metrics of a scrape with the names of their labels. */
export type Shown = ReadonlyMap<string, ReadonlySet<string>>;

const quoted = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text);

/** Rows of the table below a heading of docs/observability.md; of its first cell only what stands in backticks. */
export async function tableOf(heading: string): Promise<string[][]> {
  const text = await readFile(inClone("docs/observability.md"), "utf8");
  const section = text.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  if (rows.length === 0) throw new Error(`docs/observability.md has no table under ${heading}`);
  return rows.map((row) => {
    const [, first = "", ...others] = row.split("|").map((cell) => cell.trim());
    return [quoted(first)[0] ?? "", ...others];
  });
}

/** Documented metrics with their labels. */
export async function documentedMetrics(): Promise<Map<string, ReadonlySet<string>>> {
  const rows = await tableOf("Metrics");
  return new Map(rows.map(([name = "", _kind, labels = ""]) => [name, new Set(quoted(labels))]));
}

export async function documentedFields(): Promise<Set<string>> {
  return new Set((await tableOf("Log fields")).map(([name = ""]) => name));
}

/** Labels that Prometheus adds. */
const ADDED = ["instance", "job", "le"];

/** What is wrong with a PromQL expression, by the grammar of Prometheus and by what is shown. */
export function promqlProblems(expression: string, shown: Shown): string[] {
  const problems: string[] = [];
  const metrics: string[] = [];
  const labels: string[] = [];
  parser.parse(expression).iterate({
    enter: ({ type, from, to, node }) => {
      const text = expression.slice(from, to);
      if (type.isError) problems.push(`${expression}: no PromQL at ${from}`);
      if (type.name === "Identifier" && node.parent?.name === "VectorSelector") metrics.push(text);
      if (type.name === "LabelName") labels.push(text);
    },
  });
  const known = new Set(ADDED);
  for (const metric of metrics) {
    const found = shown.get(metric) ?? shown.get(metric.replace(/_(bucket|sum|count)$/, ""));
    if (metric !== "up" && !found) problems.push(`${expression}: nobody shows ${metric}`);
    for (const label of found ?? []) known.add(label);
  }
  if (metrics.length === 0) problems.push(`${expression}: names no metric`);
  return [
    ...problems,
    ...labels.filter((label) => !known.has(label)).map((label) => `${expression}: no label ${label}`),
  ];
}

const duration = z.string().regex(/^(\d+(ms|[smhdwy]))+$/);
/** A file of rules as `promtool check rules` takes it. */
const rulesSchema = z.strictObject({
  groups: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        interval: duration.optional(),
        rules: z.array(
          z.strictObject({
            alert: z.string().regex(/^[A-Z][A-Za-z]+$/),
            expr: z.string().min(1),
            for: duration.optional(),
            labels: z.strictObject({ severity: z.enum(["warning", "critical"]) }),
            annotations: z.strictObject({ summary: z.string().min(1), description: z.string().min(1) }),
          }),
        ),
      }),
    )
    .min(1),
});

/** What is wrong with the alert rules in infra/observability. */
export async function alertProblems(shown: Shown): Promise<string[]> {
  const { groups } = rulesSchema.parse(parse(await readFile(inClone("infra/observability/alerts.yaml"), "utf8")));
  const rules = groups.flatMap((group) => group.rules);
  const names = rules.map(({ alert }) => alert);
  const twice = names.filter((name, at) => names.indexOf(name) !== at);
  return [
    ...twice.map((name) => `${name} is there twice`),
    ...rules.flatMap(({ expr }) => promqlProblems(expr, shown)),
  ];
}

const panel = z.looseObject({
  id: z.int(),
  type: z.enum(["timeseries", "stat"]),
  title: z.string().min(1),
  gridPos: z.strictObject({ x: z.int(), y: z.int(), w: z.int().max(24), h: z.int() }),
  datasource: z.strictObject({ type: z.literal("prometheus"), uid: z.literal("${datasource}") }),
  targets: z.array(z.looseObject({ refId: z.string(), expr: z.string() })).min(1),
});
const dashboardSchema = z.looseObject({
  uid: z.string(),
  title: z.string(),
  schemaVersion: z.int().min(36),
  templating: z.looseObject({ list: z.array(z.looseObject({ name: z.string(), type: z.string() })) }),
  panels: z.array(panel).min(1),
});

/** What is wrong with the dashboard in infra/observability. */
export async function dashboardProblems(shown: Shown): Promise<string[]> {
  const text = await readFile(inClone("infra/observability/dashboard.json"), "utf8");
  const { panels } = dashboardSchema.parse(JSON.parse(text));
  const ids = panels.map(({ id }) => id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `panel ${id} is there twice`);
  const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  return [...twice, ...expressions.flatMap((expr) => promqlProblems(expr.replaceAll("$__rate_interval", "5m"), shown))];
}
