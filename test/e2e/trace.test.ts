import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { CvlanService, EnrollmentService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { type SiteNode, siteNode } from "@cloudvlan/infra/site/node";
import { until } from "@cloudvlan/infra/site/until";
import { programsOf } from "@cloudvlan/infra/start/programs";
import { connectTo } from "@cloudvlan/kit/client";
import { type CollectedSpan, type Collector, metricsIn, scrape, startCollector } from "@cloudvlan/kit/testing";
import { createLab, run } from "@cloudvlan/test/lab";
import { createClient } from "@connectrpc/connect";
import {
  alertProblems,
  dashboardProblems,
  documentedFields,
  documentedMetrics,
  tableOf,
} from "./site/observability.ts";
import { siteFolder } from "./site/folder.ts";
import { ORDER, type Split, startSplit } from "./site/split.ts";

const FRONT = 8443;
const METRICS_PORTS = { auth: 9201, registry: 9202, policy: 9203, netmap: 9204, agent: 9205, engine: 9206 } as const;
const scrapeUrl = (name: keyof typeof METRICS_PORTS): string => `http://127.0.0.1:${METRICS_PORTS[name]}/metrics`;

/** Nodes know one URL. An agent's first connection asks for the roots, its second enrols, all others are for the map. */
async function startFront(split: Pick<Split, "portOf">): Promise<AsyncDisposable> {
  const turns = ["auth", "registry"] as const;
  const open = new Set<Socket>();
  let turn = 0;
  const server = createServer((client) => {
    const backend = connect(split.portOf(turns[turn++] ?? "netmap"), "127.0.0.1");
    for (const [one, other] of [
      [client, backend],
      [backend, client],
    ] as const) {
      open.add(one);
      one.on("error", () => one.destroy());
      one.once("close", () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(FRONT, "127.0.0.1", resolve));
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

describe("one join, seen from outside", function () {
  this.timeout(300_000);
  const cleanup = new AsyncDisposableStack();
  const programs = programsOf(process.env, process.execPath);
  let collector: Collector;
  let split: Split;
  let machine: SiteNode;
  let folder: string;
  let traceId = "";

  const spansOf = (): CollectedSpan[] => collector.spans.filter((span) => span.traceId === traceId);
  const logs = async (): Promise<Record<string, unknown>[]> => {
    const texts = await Promise.all([
      ...[...split.processes.values()].map((process) => process.output()),
      machine.agent.output(),
      readFile(join(machine.state, "engine.log"), "utf8"),
    ]);
    const lines = texts.flatMap((text) => text.trim().split("\n"));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  };

  before(async () => {
    ({ path: folder } = cleanup.use(await siteFolder("cv-trace-")));
    collector = cleanup.use(await startCollector());
    const telemetry = { otlp: collector.url, sample_ratio: 0 };
    split = cleanup.use(
      await startSplit(folder, programs, {
        url: `https://127.0.0.1:${FRONT}`,
        further: (name) => ({ telemetry: { ...telemetry, metrics: { port: METRICS_PORTS[name] } } }),
      }),
    );
    cleanup.use(await startFront(split));
    const lab = cleanup.use(
      await createLab({ nodes: [{ name: "machine", current: true }], links: [] }, { captureProgram: programs.lab }),
    );
    const configFile = join(folder, "agent.yaml");
    const ports = { metrics: { port: METRICS_PORTS.agent }, engine_metrics: { port: METRICS_PORTS.engine } };
    await writeFile(configFile, JSON.stringify({ telemetry: { ...telemetry, ...ports } }), { mode: 0o600 });
    machine = cleanup.use(await siteNode(lab, "machine", folder, programs, { flags: ["--config", configFile] }));
    await machine.startAgent();
    await machine.engineIsUp();

    const { tenant } = await createClient(TenantService, await split.asOwner("auth")).createTenant({ name: "traced" });
    const tenantId = tenant?.id ?? "";
    const registry = await split.asOwner("registry");
    const { cvlan } = await createClient(CvlanService, registry).createCvlan({ tenantId, name: "main" });
    const enrollment = createClient(EnrollmentService, registry);
    const { joinString } = await enrollment.createJoinToken({ tenantId, cvlanId: cvlan?.id ?? "" });
    const env = { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    const command = [programs.node, programs.cli, "--state", machine.state, "join"];
    const joined = await run(command, { input: joinString, env });
    assert.equal(joined.code, 0, joined.stderr);
    await until("the machine has its map", async () => ((await machine.status())?.engine?.map?.revision ?? 0n) > 0n);
  });
  after(() => cleanup.disposeAsync());

  it("is one trace across command, agent, engine, auth, registry and netmap", async () => {
    const root = await until("the command's span", () => collector.spans.find(({ name }) => name === "cvlan join"));
    traceId = root.traceId;
    const expected: readonly (readonly [string, string])[] = [
      ["cvlan", "cvlan join"],
      ["cvlan-agent", "cloudvlan.agent.v1.AgentService/Join"],
      ["cvlan-agent", "agent.join"],
      ["cvlan-agent", "agent.configure"],
      ["cvlan-agent", "agent.apply_map"],
      ["cvlan-engine", "engine.Prove"],
      ["cvlan-engine", "engine.Apply"],
      ["cvlan-engine", "engine.verify_map"],
      ["cvlan-engine", "engine.install"],
      ["cloudvlan-auth", "cloudvlan.auth.v1.CertificateService/GetTrustBundle"],
      ["cloudvlan-registry", "cloudvlan.registry.v1.EnrollmentService/BeginJoin"],
      ["cloudvlan-registry", "cloudvlan.registry.v1.EnrollmentService/Join"],
      ["cloudvlan-registry", "db.transaction"],
      ["cloudvlan-auth", "cloudvlan.auth.v1.CertificateService/MintCertificate"],
      ["cloudvlan-auth", "step-ca/sign"],
      ["cloudvlan-netmap", "cloudvlan.netmap.v1.NetmapService/Watch"],
    ];
    const missing = () =>
      expected.filter(([service, name]) => !spansOf().some((span) => span.service === service && span.name === name));
    await until("every part's spans", () => missing().length === 0).catch((error: unknown) => {
      assert.fail(`${String(error)}: ${JSON.stringify(missing())}`);
    });
    const ids = new Set(spansOf().map(({ spanId }) => spanId));
    const orphans = spansOf().filter(({ parentSpanId }) => parentSpanId !== "" && !ids.has(parentSpanId));
    assert.deepEqual(orphans, []);
    assert.deepEqual(
      spansOf()
        .filter(({ parentSpanId }) => parentSpanId === "")
        .map(({ name }) => name),
      ["cvlan join"],
    );
    assert.deepEqual(
      spansOf().filter(({ error }) => error),
      [],
    );
  });

  it("is found by the same id in the log of step-ca, which speaks no OpenTelemetry", async () => {
    const log = await readFile(join(folder, "ca", "step-ca.log"), "utf8");
    const line = log.split("\n").find((text) => text.includes(traceId));
    assert.equal((JSON.parse(line ?? "{}") as { "request-id"?: string })["request-id"], traceId);
  });

  it("is named in the log of the agent, and no trace was made that nobody asked for", async () => {
    const joined = (await logs()).find(({ msg }) => msg === "joined");
    assert.equal(joined?.["trace_id"], traceId);
    assert.deepEqual([...new Set(collector.spans.map((span) => span.traceId))], [traceId]);
  });

  it("shows every documented metric, and none that is not documented", async () => {
    // What fails is counted: one call that is refused, and one of nobody.
    const registry = createClient(CvlanService, await split.asOwner("registry"));
    await assert.rejects(registry.listCvlans({ tenantId: "nonsense" }));
    const anonymous = connectTo(split.urlOf("registry"), { roots: split.ca.roots });
    await assert.rejects(createClient(CvlanService, anonymous).listCvlans({}));
    anonymous.close();
    const shown = new Map<string, Set<string>>();
    for (const name of [...ORDER, "agent", "engine"] as const) {
      for (const [metric, labels] of metricsIn(await scrape(scrapeUrl(name)))) {
        shown.set(metric, (shown.get(metric) ?? new Set()).union(labels));
      }
    }
    const documented = await documentedMetrics();
    const sorted = (names: Iterable<string>): string[] => [...names].toSorted((a, b) => a.localeCompare(b));
    assert.deepEqual(sorted(shown.keys()), sorted(documented.keys()));
    for (const [metric, labels] of shown) {
      const known = documented.get(metric) ?? new Set();
      assert.deepEqual(
        [...labels].filter((label) => !known.has(label)),
        [],
        `labels of ${metric}`,
      );
    }
    assert.deepEqual(await dashboardProblems(documented), []);
    assert.deepEqual(await alertProblems(documented), []);
  });

  it("logs no field that is not documented", async () => {
    const known = await documentedFields();
    const lines = await logs();
    const unknown = new Set(lines.flatMap((line) => Object.keys(line).filter((field) => !known.has(field))));
    assert.deepEqual([...unknown], []);
  });

  it("has the spans that are documented", async () => {
    const documented = (await tableOf("Spans")).map(([name = ""]) => name);
    for (const name of documented.filter((each) => !each.includes("<"))) {
      const elsewhere = name === "agent.renew_certificate" || name === "engine.GetIdentity";
      assert.ok(elsewhere || spansOf().some((span) => span.name === name), `${name} is documented and was not made`);
    }
    for (const { name } of spansOf()) {
      const known = documented.includes(name) || /^cloudvlan\.\w+\.v1\.\w+\/\w+$|^cvlan /.test(name);
      assert.ok(known, `${name} is not documented`);
    }
  });
});
