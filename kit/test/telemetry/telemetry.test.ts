import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { RegionService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { outsideScope } from "../../caller/index.ts";
import { connectTo } from "../../client/index.ts";
import { systemClock } from "../../clock/index.ts";
import { createLogger } from "../../log/index.ts";
import { freePort } from "../../service/outside.ts";
import {
  failureOf,
  inChildSpan,
  inSpan,
  METRICS,
  startTelemetry,
  type Telemetry,
  telemetrySchema,
  traceFields,
} from "../../telemetry/index.ts";
import { type Collector, metricsIn, scrape, startCollector } from "../../testing/collector.ts";
import { type Line, recordingLog, silentLog } from "../../testing/log.ts";
import { Refusal } from "../../errors/index.ts";
import { bench, type Bench, until } from "../service/fixture.ts";
import { testAuth, testPolicy, testRegistry } from "../service/services.ts";

const deps = { serviceName: "test", version: "0", clock: systemClock, log: silentLog };
const config = (given: object) => telemetrySchema.parse(given);

describe("telemetry that is not configured", () => {
  it("makes no trace, and runs the work all the same", async () => {
    await using _telemetry = await startTelemetry(config({}), deps);
    assert.equal(await inSpan("work", {}, async () => traceFields()), undefined);
  });
});

describe("telemetry of a process", function () {
  this.timeout(60_000);
  let b: Bench;
  let collector: Collector;
  let telemetry: Telemetry;
  let port: number;
  const auth = testAuth();
  const registry = testRegistry();
  const key = `cvk_platform_${"0".repeat(8)}-0000-7000-8000-000000000001_${"a".repeat(43)}`;

  before(async () => {
    collector = await startCollector();
    port = await freePort("127.0.0.1");
    telemetry = await startTelemetry(config({ otlp: collector.url, metrics: { port } }), deps);
    b = await bench();
    auth.people.set(key, { subject: "apikey:p", tenantId: "", permissions: [Permission.REGION_READ] });
  });
  after(async () => {
    await b.close();
    await telemetry[Symbol.asyncDispose]();
    await collector[Symbol.asyncDispose]();
  });

  it("makes one trace of a call, the check of its credential and its transaction", async () => {
    const process = await b.start([auth.definition, registry.definition, testPolicy()]);
    const connection = connectTo(process.url, { roots: await b.roots(), bearer: key });
    try {
      await inSpan("operator", {}, () => createClient(RegionService, connection).listRegions({}));
      await assert.rejects(
        inSpan("operator refused", {}, () => createClient(RegionService, connection).createRegion({ name: "x1" })),
      );
    } finally {
      connection.close();
    }
    await until("the collector has both roots", () =>
      ["operator", "operator refused"].every((name) => collector.spans.some((span) => span.name === name)),
    );
    const root = collector.spans.find(({ name }) => name === "operator");
    const trace = collector.spans.filter(({ traceId }) => traceId === root?.traceId);
    const list = "cloudvlan.registry.v1.RegionService/ListRegions";
    const [client, server] = trace
      .filter(({ name }) => name === list)
      .toSorted((a) => (a.parentSpanId === root?.spanId ? -1 : 1));
    assert.equal(client?.parentSpanId, root?.spanId);
    assert.equal(server?.parentSpanId, client?.spanId);
    assert.ok(trace.some(({ name }) => name === "cloudvlan.auth.v1.AuthService/Authenticate"));
    const refused = collector.spans.find(
      ({ name, error }) => name === "cloudvlan.registry.v1.RegionService/CreateRegion" && error,
    );
    assert.equal(refused?.attributes["error.type"], "PERMISSION_DENIED");
  });

  it("shows what it counts, under the names and labels of the catalogue", async () => {
    const shown = await scrape(`http://127.0.0.1:${port}/metrics`);
    const known = new Map(Object.values(METRICS).map(({ name, labels }) => [name, labels]));
    for (const [name, labels] of metricsIn(shown)) {
      const documented: readonly string[] | undefined = known.get(name as never);
      assert.ok(documented, `${name} is not in the catalogue`);
      for (const label of labels) assert.ok(documented.includes(label), `${name} has an unknown label ${label}`);
    }
    assert.match(shown, /rpc_server_duration_seconds_count\{.*rpc_method="ListRegions",rpc_code="ok"\} 1/);
    assert.match(shown, /rpc_server_errors_total\{.*reason="PERMISSION_DENIED"\} 1/);
    assert.match(shown, /cloudvlan_denials_lag_seconds [0-9.e-]+\n/);
  });

  it("answers nothing but GET /metrics", async () => {
    const base = `http://127.0.0.1:${port}`;
    assert.equal((await fetch(`${base}/`)).status, 404);
    assert.equal((await fetch(`${base}/metrics`, { method: "POST", body: "x" })).status, 405);
    const long = await fetch(`${base}/metrics`, { headers: { "x-long": "x".repeat(20_000) } });
    assert.equal(long.status, 431);
  });

  it("leaves nobody out for somebody who opens connections and says nothing", async () => {
    const silent = Array.from({ length: 64 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
    try {
      await Promise.all(silent.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
      for (let shown: string | undefined; shown === undefined; await sleep(100)) {
        shown = await scrape(`http://127.0.0.1:${port}/metrics`).catch(() => undefined);
      }
    } finally {
      for (const socket of silent) socket.destroy();
    }
  });

  it("writes the trace into log lines, and not that of a request into work that outlives it", async () => {
    const lines: string[] = [];
    const log = createLogger({ name: "t", level: "info", destination: { write: (line) => void lines.push(line) } });
    await inSpan("logged", {}, async () => {
      log.info({}, "inside");
      outsideScope(() => log.info({}, "outside"));
    });
    const [inside, outside] = lines.map((line) => JSON.parse(line) as { trace_id?: string; span_id?: string });
    assert.match(inside?.trace_id ?? "", /^[0-9a-f]{32}$/);
    assert.match(inside?.span_id ?? "", /^[0-9a-f]{16}$/);
    assert.equal(outside?.trace_id, undefined);
  });

  it("hands on spans of others under their name, and makes no trace of what is not one", async () => {
    const span = { traceId: "a".repeat(32), spanId: "b".repeat(16), parentSpanId: "c".repeat(16) };
    const times = { startedAt: [1, 0] as [number, number], endedAt: [2, 0] as [number, number] };
    telemetry.take("other", { ...span, ...times, name: "theirs", error: "BAD", attributes: { step: "x" } });
    assert.equal(await inChildSpan("nothing to belong to", {}, async () => 7), 7);
    await until("it came", () => collector.spans.some(({ name }) => name === "theirs"));
    const theirs = collector.spans.find(({ name }) => name === "theirs");
    assert.deepEqual(
      { ...theirs },
      { ...span, service: "other", name: "theirs", error: true, attributes: { step: "x" } },
    );
    assert.ok(!collector.spans.some(({ name }) => name === "nothing to belong to"));
  });
});

describe("a collector that is of no use", function () {
  this.timeout(60_000);

  /** Makes more spans than the queue holds. */
  async function against(otlp: string): Promise<{ shown: string; lines: Line[] }> {
    const lines: Line[] = [];
    const port = await freePort("127.0.0.1");
    const telemetry = await startTelemetry(config({ otlp, metrics: { port } }), {
      ...deps,
      log: recordingLog(lines),
    });
    try {
      for (let n = 0; n < 6_000; n++) await inSpan("work", {}, async () => undefined);
      return { shown: await scrape(`http://127.0.0.1:${port}/metrics`), lines };
    } finally {
      const ended = telemetry[Symbol.asyncDispose]();
      await Promise.race([
        ended,
        sleep(20_000).then(() => assert.fail("the end of the process waits for a collector")),
      ]);
    }
  }

  it("costs a bounded queue when it hears and says nothing", async () => {
    const deaf = createServer(() => undefined);
    await new Promise<void>((resolve) => deaf.listen(0, "127.0.0.1", resolve));
    const { shown } = await against(`http://127.0.0.1:${(deaf.address() as AddressInfo).port}`);
    deaf.closeAllConnections();
    deaf.close();
    assert.match(shown, /otel_sdk_processor_span_processed_total\{.*error_type="queue_full".*\} [1-9]/);
    assert.match(shown, /otel_sdk_processor_span_queue_size\{.*\} (1\d{3}|20[0-4]\d)\n/);
  });

  it("costs as little when it is not there, or answers without end", async () => {
    const { shown } = await against(`http://127.0.0.1:${await freePort("127.0.0.1")}`);
    assert.match(shown, /error_type="queue_full"/);
    const endless = createServer((_request, response) => {
      const more = (): void => {
        while (response.write("x".repeat(65_536)));
      };
      response.on("drain", more);
      more();
    });
    await new Promise<void>((resolve) => endless.listen(0, "127.0.0.1", resolve));
    const port = (endless.address() as AddressInfo).port;
    await against(`http://127.0.0.1:${port}`);
    endless.closeAllConnections();
    endless.close();
  });
});

describe("how a call failed", () => {
  it("is told in bounded words", () => {
    assert.deepEqual(failureOf(new Refusal("denied", "NOT_YOURS", "names of others")), {
      code: "permission_denied",
      reason: "NOT_YOURS",
    });
    assert.equal(failureOf(new Refusal("denied", "not a reason", "x").toConnectError()).reason, "PERMISSION_DENIED");
    assert.equal(failureOf(new Error("secret")).reason, "INTERNAL");
  });
});

describe("the configuration of telemetry", () => {
  it("refuses what it does not know and where nothing can be", () => {
    for (const wrong of [
      { otlp: "ftp://x" },
      { otlp: "http://user:pass@x" },
      { metrics: { port: 0 } },
      { metrics: { port: 1, address: "everywhere" } },
      { sample_ratio: 2 },
      { unknown: 1 },
    ]) {
      assert.equal(telemetrySchema.safeParse(wrong).success, false, JSON.stringify(wrong));
    }
    assert.deepEqual(config({ metrics: { port: 9 } }).metrics, { address: "127.0.0.1", port: 9 });
  });

  it("refuses an address that is taken, naming it", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    await assert.rejects(
      startTelemetry(config({ metrics: { port } }), deps),
      (error) => error instanceof Refusal && error.reason === "LISTEN" && error.message.includes(String(port)),
    );
    taken.close();
  });
});
