import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  AgentService,
  AgentState,
  type AgentStatus,
  type Check,
  CheckVerdict,
  ControllerState,
  Health,
} from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { JoinStringSchema } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import type { NodeEndpoint } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { EnrollmentService, type JoinRequest } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { unixTransport } from "@cloudvlan/kit/client";
import { systemClock } from "@cloudvlan/kit/clock";
import { ConfigError } from "@cloudvlan/kit/config";
import { Refusal } from "@cloudvlan/kit/errors";
import { runAgent, stopEngine } from "../agent.ts";
import { type AgentConfig, readInvocation } from "../config.ts";
import { reasonOf } from "../state/problems.ts";
import { recentLines } from "../state/recent.ts";
import { CLUSTER, CVLAN, NODE, NODE_URI, TENANT, type TestCa, testCa } from "./ca.ts";
import { type TestController, testController } from "./controller.ts";
import { noTelemetry, recordingLog, temporaryFolder, until } from "./support.ts";

const ROOT_KEY = randomBytes(32);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();

describe("the agent", function () {
  this.timeout(120_000);
  let ca: TestCa;
  let controller: TestController;
  let binary: string;
  let tools: { path: string } & AsyncDisposable;
  let joins: JoinRequest[] = [];
  let reported: NodeEndpoint[][] = [];
  let hang = false;

  before(async () => {
    tools = await temporaryFolder();
    binary = join(tools.path, "engine");
    const program = join(import.meta.dirname, "engine-program.ts");
    await writeFile(binary, `#!/bin/sh\nexec ${process.execPath} ${program} "$@"\n`, { mode: 0o755 });
    ca = await testCa();
    controller = await testController(ca, (router) => {
      router.service(CertificateService, { getTrustBundle: () => ({ bundle: { roots: [...ca.roots] } }) });
      router.service(EnrollmentService, {
        beginJoin: () => ({ serverPublicKey: randomBytes(32), challenge: randomBytes(64) }),
        join: async (request, { signal }) => {
          joins.push(request);
          if (hang) await new Promise((resolve) => signal.addEventListener("abort", resolve));
          const { chain } = await ca.authority.sign(request.csr, NODE_URI, [], 3600);
          return {
            node: { id: NODE, tenantId: TENANT, cvlanId: CVLAN, clusterId: CLUSTER, name: request.name },
            certificate: { chain: [...chain] },
            bundle: { roots: [...ca.roots] },
            rootPublicKey: ROOT_KEY,
            cvlanName: "office",
          };
        },
      });
      router.service(NetmapService, {
        async *watch(_request, { signal }) {
          yield { update: { revision: 4n, full: true, head: Buffer.from("H") } };
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
        },
        reportEndpoints: ({ endpoints }) => {
          reported.push(endpoints);
          return { version: "9.8.7" };
        },
      });
    });
  });
  after(async () => {
    await controller[Symbol.asyncDispose]();
    await ca[Symbol.asyncDispose]();
    await tools[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    joins = [];
    reported = [];
    hang = false;
  });

  const configOf = (state: string): AgentConfig => ({
    state,
    interface: "cvlan-test9",
    engine: binary,
    listen_port: 0,
    mtu: 0,
    interface_kind: "tun",
    forwards: [],
    resolver: "off",
    log_level: "info",
  });
  const joinString = () => {
    const invitation = create(JoinStringSchema, {
      url: controller.url,
      caSha256: sha256(ca.roots[0] ?? new Uint8Array()),
      rootKeySha256: sha256(ROOT_KEY),
      tenantId: TENANT,
      tokenId: "jointoken_1",
      secret: randomBytes(32),
    });
    return `cvlan1.${Buffer.from(toBinary(JoinStringSchema, invitation)).toString("base64url")}`;
  };

  async function started(state: string) {
    const recent = recentLines();
    const { log, lines } = recordingLog(recent);
    const stop = new AbortController();
    const deps = { clock: systemClock, log, version: "test", telemetry: noTelemetry, recent };
    const done = runAgent(configOf(state), deps, stop.signal);
    done.catch(() => undefined);
    const connection = unixTransport(join(state, "agent.sock"));
    const client = createClient(AgentService, connection);
    await Promise.race([
      done,
      until("the agent and its engine answer", () =>
        client.getStatus({}).then(
          ({ status }) => status?.engine !== undefined,
          () => false,
        ),
      ),
    ]);
    return {
      client,
      lines,
      async stop() {
        connection.close();
        stop.abort();
        await done;
      },
    };
  }
  const endOf = (state: string) => stopEngineOf(configOf(state));
  /** The test engine ignores Shutdown, so that the agent's own end can be told from it: it is ended by its process id. */
  async function stopEngineOf(config: AgentConfig): Promise<void> {
    await stopEngine(config, systemClock);
    const text = await readFile(join(config.state, "engine", "pid"), "utf8");
    process.kill(Number(text), "SIGKILL");
  }

  it("joins, carries the map, reports endpoints and tells its status, over a socket of its owner", async () => {
    await using folder = await temporaryFolder();
    const agent = await started(folder.path);
    assert.equal((await stat(join(folder.path, "agent.sock"))).mode & 0o777, 0o600);
    assert.equal((await agent.client.getStatus({})).status?.state, AgentState.UNENROLLED);
    await assert.rejects(agent.client.explain({ destination: "db1" }), (error) => reasonOf(error) === "NOT_ENROLLED");
    const { status } = await agent.client.join({ joinString: joinString(), name: "web1" }, { timeoutMs: 60_000 });
    assert.equal(status?.state, AgentState.RUNNING);
    assert.equal(status?.cvlanName, "office");
    assert.equal(joins[0]?.name, "web1");
    await until("the map is with the engine", async () => {
      const now = (await agent.client.getStatus({})).status;
      return now?.engine?.map?.revision === 4n && now.controller === ControllerState.CONNECTED;
    });
    await until("endpoints are reported", () => reported.length > 0);
    assert.ok(reported[0]?.every(({ port }) => port === 40_000));
    const known = (await agent.client.getStatus({})).status;
    assert.equal(known?.nodeId, NODE);
    assert.equal(known?.engine?.interfaceName, "cvlan-test9");
    assert.ok(known?.certificateNotAfter);
    assert.equal(known.health, Health.HEALTHY, known.healthReason);
    assert.ok(known.headAgeMs !== undefined && known.controllerSilenceMs !== undefined);
    assert.equal(known.engineVersion, "test");
    await until("the controller said its version", async () => {
      return (await agent.client.getStatus({})).status?.controllerVersion === "9.8.7";
    });
    await agent.stop();
    await endOf(folder.path);
  });

  it("tells its status at once and after each change, until the caller goes", async () => {
    await using folder = await temporaryFolder();
    const agent = await started(folder.path);
    const stop = new AbortController();
    const told: AgentStatus[] = [];
    const watching = (async () => {
      for await (const { status } of agent.client.watchStatus({}, { signal: stop.signal }))
        if (status) told.push(status);
    })();
    await until("the first", () => told.length > 0);
    assert.equal(told[0]?.state, AgentState.UNENROLLED);
    await agent.client.join({ joinString: joinString(), name: "web1" }, { timeoutMs: 60_000 });
    await until("it is healthy", () => told.at(-1)?.health === Health.HEALTHY);
    const before = told.length;
    await agent.client.getStatus({});
    stop.abort();
    await assert.rejects(watching, (error) => error instanceof ConnectError && error.code === Code.Canceled);
    // One for each step on the way at most, none for ages that grow.
    assert.ok(before <= 12, `${before} answers`);
    await agent.stop();
    await endOf(folder.path);
  });

  it("diagnoses itself: what is there, what is missing, and what to do", async () => {
    await using folder = await temporaryFolder();
    const agent = await started(folder.path);
    const checks = async () => {
      const found = new Map<string, Check>();
      for await (const { check } of agent.client.diagnose({})) if (check) found.set(check.name, check);
      return found;
    };
    const alone = await checks();
    assert.equal(alone.get("engine")?.verdict, CheckVerdict.OK);
    assert.equal(alone.get("reachability")?.verdict, CheckVerdict.SKIPPED);
    await agent.client.join({ joinString: joinString(), name: "web1" }, { timeoutMs: 60_000 });
    await until("a head came", async () => (await agent.client.getStatus({})).status?.headAgeMs !== undefined);
    await chmod(join(folder.path, "roots.pem"), 0o644);
    const joined = await checks();
    for (const name of ["agent", "disk", "engine", "reachability", "ca", "clock", "map"]) {
      assert.equal(joined.get(name)?.verdict, CheckVerdict.OK, `${name}: ${joined.get(name)?.found}`);
    }
    assert.equal(joined.get("state")?.verdict, CheckVerdict.FAIL);
    assert.match(joined.get("state")?.remedy ?? "", /^chmod 600 .*roots\.pem$/);
    assert.match(joined.get("certificate")?.remedy ?? "", /./);
    assert.match(joined.get("udp-port")?.found ?? "", /nobody holds UDP port 40000/);
    const { config, logLines } = await agent.client.collectDebug({});
    assert.equal(config["interface"], "cvlan-test9");
    assert.ok(logLines.some((line) => line.includes("joined")));
    await agent.stop();
    await endOf(folder.path);
  });

  it("completes a join that was cut off by its own death, by itself", async () => {
    await using folder = await temporaryFolder();
    const text = joinString();
    hang = true;
    const first = await started(folder.path);
    const cut = first.client.join({ joinString: text, name: "web1" }, { timeoutMs: 60_000 }).catch(() => undefined);
    await until("the token is spent", () => joins.length > 0);
    await first.stop();
    await cut;
    hang = false;
    const second = await started(folder.path);
    await until("it is a node", async () => (await second.client.getStatus({})).status?.nodeId === NODE);
    assert.equal(new Set(joins.map(({ csr }) => Buffer.from(csr).toString("hex"))).size, 1);
    await second.stop();
    await endOf(folder.path);
  });

  it("refuses what is wrong in words: request, name, second agent, open folder", async () => {
    await using folder = await temporaryFolder();
    const agent = await started(folder.path);
    await assert.rejects(
      agent.client.join({ joinString: "short" }),
      (error) =>
        error instanceof ConnectError && error.code === Code.InvalidArgument && /join_string/.test(error.message),
    );
    await assert.rejects(
      agent.client.join({ joinString: "cvlan1.AAAAAAAAAAAAAAAAAAAAAAAA" }),
      (error) => reasonOf(error) === "JOIN_STRING_INVALID",
    );
    assert.ok(!agent.lines.join("").includes("AAAAAAAA"), "a join string is in the log");
    await agent.client.join({ joinString: joinString() }, { timeoutMs: 60_000 });
    await assert.rejects(
      agent.client.explain({ destination: "nobody" }),
      (error) => error instanceof ConnectError && error.code === Code.NotFound && /nobody/.test(error.message),
    );
    const run = (state: string) =>
      runAgent(
        configOf(state),
        { clock: systemClock, log: recordingLog().log, version: "test", telemetry: noTelemetry, recent: recentLines() },
        AbortSignal.timeout(9e4),
      );
    await assert.rejects(run(folder.path), (error) => error instanceof Refusal && error.reason === "AGENT_RUNNING");
    await agent.stop();
    await endOf(folder.path);
    const open = join(folder.path, "open");
    await mkdir(open, { mode: 0o755 });
    await assert.rejects(run(open), (error) => error instanceof Refusal && /chmod 700/.test(error.detail.remedy ?? ""));
  });

  it("goes on with a garbled pending join, and says which file it is", async () => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, "join.pending"), "{", { mode: 0o600 });
    const agent = await started(folder.path);
    await until("it is told", async () => {
      const problems = (await agent.client.getStatus({})).status?.problems ?? [];
      return problems.some(({ part, message }) => part === "join" && /join\.pending is damaged/.test(message));
    });
    await agent.stop();
    await endOf(folder.path);
  });

  it("keeps the engine going with a damaged membership, and says which file it is", async () => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, "agent.json"), "{", { mode: 0o600 });
    const agent = await started(folder.path);
    const { status } = await agent.client.getStatus({});
    assert.match(status?.problems[0]?.message ?? "", /agent\.json is damaged/);
    assert.ok(status?.engine);
    await agent.stop();
    await endOf(folder.path);
  });
});

describe("the agent's configuration", () => {
  it("is a file, over which flags win", async () => {
    await using folder = await temporaryFolder();
    const file = join(folder.path, "agent.yaml");
    await writeFile(file, "state: /var/lib/a\ninterface: tun5\nlisten_port: 7\nresolver: off\n");
    const { config } = readInvocation(["--config", file, "--listen-port", "8", "--engine", "/x"]);
    assert.deepEqual(config, {
      state: "/var/lib/a",
      interface: "tun5",
      engine: "/x",
      listen_port: 8,
      mtu: 0,
      interface_kind: "tun",
      forwards: [],
      resolver: "off",
      log_level: "info",
    });
    await writeFile(file, "state: /var/lib/a\nlisten: 7\n");
    assert.throws(
      () => readInvocation(["--config", file]),
      (error) => error instanceof ConfigError && /agent\.yaml:2:1: listen: unknown key/.test(error.message),
    );
    const faults: [string, RegExp][] = [
      ["mtu: 1400\nstate: /a\nmtu: 1300\n", /agent\.yaml:3:1: .*unique/],
      ["state: /a\nlisten_port: many\n", /agent\.yaml:2:1: listen_port: /],
      ["state: [/a]\n", /agent\.yaml:1:1: state: /],
      ["state: /a\n  mtu: 1\n", /agent\.yaml:\d+:\d+: /],
      ["state: /a\nlog_level: loud\n", /agent\.yaml:2:1: log_level: /],
    ];
    for (const [text, pattern] of faults) {
      await writeFile(file, text);
      assert.throws(
        () => readInvocation(["--config", file]),
        (error) => error instanceof ConfigError && pattern.test(error.message),
        text,
      );
    }
    await rm(file);
  });

  it("names what is wrong with a proxy or a forward, and where", async () => {
    await using folder = await temporaryFolder();
    const file = join(folder.path, "agent.yaml");
    const forward = (lines: string) => `interface_kind: userspace\nforwards:\n  - direction: ${lines}\n`;
    const refused: [string, RegExp][] = [
      ["proxy: 127.0.0.1:1080\n", /proxy: needs interface_kind userspace or auto/],
      ["interface_kind: userspace\nproxy: 0.0.0.0:1080\n", /:2:1: proxy: must be a loopback address/],
      ["interface_kind: userspace\nproxy: 127.0.0.1:70000\n", /:2:1: proxy: must be a loopback address/],
      ["interface_kind: user\n", /:1:1: interface_kind: /],
      [
        forward("into_overlay\n    protocol: tcp\n    listen: 192.0.2.1:80\n    target: b:80"),
        /:5:5: forwards\[0\]\.listen/,
      ],
      [
        forward("into_overlay\n    protocol: tcp\n    listen: 127.0.0.1:80\n    target: b"),
        /:6:5: forwards\[0\]\.target/,
      ],
      [
        forward("from_overlay\n    protocol: sctp\n    listen: 80\n    target: 127.0.0.1:80"),
        /:4:5: forwards\[0\]\.protocol/,
      ],
      [
        forward("from_overlay\n    protocol: tcp\n    listen: 80\n    target: localhost:80"),
        /:6:5: forwards\[0\]\.target/,
      ],
      [
        forward("from_overlay\n    protocol: tcp\n    listen: 0\n    target: 127.0.0.1:80"),
        /:5:5: forwards\[0\]\.listen/,
      ],
    ];
    for (const [text, complaint] of refused) {
      await writeFile(file, text);
      assert.throws(
        () => readInvocation(["--config", file]),
        (error) => error instanceof ConfigError && complaint.test(error.message),
        text,
      );
    }
  });

  it("is refused with the key at fault", () => {
    const refused: [string[], RegExp][] = [
      [["--state", "relative"], /state: must be an absolute path/],
      [["--state", `/${"x".repeat(90)}`], /state: must be at most/],
      [["--interface", "much-too-long-a-name"], /interface: /],
      [["--listen-port", "70000"], /listen_port: /],
      [["--listen-port", "many"], /listen_port: /],
      [["--mtu", "500"], /mtu: /],
      [["--nonsense"], /--nonsense/],
      [["positional"], /positional/],
    ];
    for (const [argv, pattern] of refused) {
      assert.throws(
        () => readInvocation(argv),
        (error) => error instanceof ConfigError && pattern.test(error.message),
        argv.join(" "),
      );
    }
  });
});
