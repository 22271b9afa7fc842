import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { METRICS } from "@cloudvlan/kit/telemetry";
import { documentedFields, documentedMetrics, promqlProblems } from "../e2e/site/observability.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const SOURCES = ["kit", "services", "agent", "engine"];
const NOT_SHIPPED = /node_modules|\/(test|tests|testing|testkit|lab|target)\//;
/** Calls of a logger of ours, with the object of fields; nested braces go one deep. */
const LOG_CALL = /\blog\s*\.(?:debug|info|warn|error)\(\s*\{((?:[^{}]|\{[^{}]*\})*)\}/g;
const TRACING_CALL = /\btracing::(?:debug|info|warn|error)!\(((?:[^;"]|"(?:[^"\\]|\\.)*")*?)\);/g;
/** What objects hold that are spread into fields. */
const SPREAD: Readonly<Record<string, readonly string[]>> = {
  scope: ["tenant_id", "cvlan_id"],
  this: ["tenant_id", "cvlan_id"],
  entry: ["action", "object_id", "outcome"],
};
/** What the loggers add by themselves. */
const ALWAYS = ["time", "level", "msg", "service", "part", "trace_id", "span_id", "request_id"];
const ALWAYS_ENGINE = ["timestamp", "level", "message", "target", "span", "spans"];

async function sources(extension: string): Promise<string[]> {
  const texts: string[] = [];
  for (const folder of SOURCES) {
    for (const entry of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile() || !path.endsWith(extension) || NOT_SHIPPED.test(path.slice(root.length - 1))) continue;
      texts.push(await readFile(path, "utf8"));
    }
  }
  return texts;
}

/** Commas inside of brackets and strings part nothing. */
function partsOf(list: string): string[] {
  let flat = list.replaceAll(/"(?:[^"\\]|\\.)*"|`[^`]*`/g, "_");
  for (let before = ""; before !== flat;) {
    before = flat;
    flat = flat.replaceAll(/\([^()]*\)|\[[^[\]]*\]|\{[^{}]*\}/g, "_");
  }
  return flat.split(",").map((part) => part.trim());
}

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function fieldsOf(part: string): readonly string[] {
  const spread = /^\.\.\.\(?(\w+)/.exec(part)?.[1];
  if (spread !== undefined) return SPREAD[spread] ?? [`...${spread}, of which this test does not know what it holds`];
  const name = /^(\w+)/.exec(part)?.[1];
  return name === undefined ? [] : [snake(name)];
}

async function fieldsInSources(): Promise<Set<string>> {
  const found = new Set([...ALWAYS, ...ALWAYS_ENGINE]);
  for (const text of await sources(".ts")) {
    for (const [, fields = ""] of text.matchAll(LOG_CALL)) {
      for (const part of partsOf(fields)) for (const field of fieldsOf(part)) found.add(field);
    }
  }
  for (const text of await sources(".rs")) {
    for (const [, list = ""] of text.matchAll(TRACING_CALL)) {
      for (const part of partsOf(list)) {
        const field = /^[?%]?([a-z_]+)(?:\.\w+)*\s*(?:=|$)/.exec(part)?.[1];
        if (field !== undefined && field !== "_") found.add(field);
      }
    }
  }
  return found;
}

const sorted = (names: Iterable<string>): string[] => [...names].toSorted((a, b) => a.localeCompare(b));

describe("docs/observability.md", () => {
  it("names every field that is logged, and none that is not", async () => {
    assert.deepEqual(sorted(await documentedFields()), sorted(await fieldsInSources()));
  });

  it("has the labels of every metric of the catalogue", async () => {
    const documented = await documentedMetrics();
    for (const { name, labels } of Object.values(METRICS)) {
      assert.deepEqual(sorted(documented.get(name) ?? ["absent"]), sorted(labels), name);
    }
  });
});

describe("the counters of the engine", () => {
  it("are documented, each of them, and no others", async () => {
    const named = (await sources(".rs")).flatMap((text) =>
      [...text.matchAll(/fn (?:named|all)\b[\s\S]*?\n {4}\}/g)].flatMap(([body]) => [
        ...body.matchAll(/\("([a-z0-9_]+)",\s*&/g),
      ]),
    );
    const counters = [...named.map(([, name = ""]) => name), "spans_dropped"];
    const documented = [...(await documentedMetrics()).keys()].filter(
      (name) => name.startsWith("cvlan_engine_") && name.endsWith("_total") && !/_engine_(peer|rule)_/.test(name),
    );
    assert.deepEqual(sorted(documented), sorted(counters.map((name) => `cvlan_engine_${name}_total`)));
  });
});

describe("the check of alerts and dashboards", () => {
  const shown = new Map([["calls_total", new Set(["reason"])]]);

  it("takes what Prometheus takes", () => {
    assert.deepEqual(promqlProblems('sum by (reason) (rate(calls_total{job="x"}[5m])) > 1', shown), []);
  });

  it("notices what is no PromQL, and what nobody shows", () => {
    for (const wrong of [
      "sum by (reason (rate(calls_total[5m]))",
      "call_total > 1",
      "calls_total{cause='x'} > 1",
      "1",
    ]) {
      assert.notDeepEqual(promqlProblems(wrong, shown), [], wrong);
    }
  });
});
