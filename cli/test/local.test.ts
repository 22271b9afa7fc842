import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  AgentService,
  AgentState,
  CheckVerdict,
  ControllerState,
  Health,
  type JoinRequest,
  PeerState,
} from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { PathMtuState } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { cvlan, localSocket } from "./installation.ts";

const address = new Uint8Array([100, 64, 0, 2]);
const status = {
  state: AgentState.RUNNING,
  name: "web1",
  cvlanName: "office",
  controllerUrl: "https://vpn.example.org",
  controller: ControllerState.UNREACHABLE,
  controllerError: "it is down",
  version: "0.1.0",
  engine: {
    interfaceName: "cvlan0",
    listenPort: 51_820,
    mtu: 1_420,
    addresses: [{ address: new Uint8Array([0xfd, ...Array<number>(14).fill(0), 1]), length: 128 }],
    map: { epoch: 1n, revision: 9n, stale: true },
    peers: [
      { nodeId: "node_1", name: "evil\u001b[31m", addresses: [], bytesReceived: 5n },
      {
        nodeId: "node_2",
        name: "db1",
        addresses: [{ address, length: 32 }],
        endpoint: { address: "2001:db8::2", port: 7 },
        bytesReceived: 2_097_152n,
        pathMtu: 1_332,
        pathMtuState: PathMtuState.SEARCHING,
      },
    ],
  },
  health: Health.DEGRADED,
  healthReason: "at fault: host",
  headAgeMs: 95_000n,
  controllerSilenceMs: 200_000n,
  engineVersion: "0.1.1",
  peers: [
    { nodeId: "node_1", name: "evil", state: PeerState.NEVER },
    { nodeId: "node_2", name: "db1", state: PeerState.IDLE, handshakeAgeMs: 400_000n },
  ],
  problems: [{ part: "host", message: "the command `ip` is not installed", remedy: "install the package iproute2" }],
};

describe("cvlan on its own machine", () => {
  let folder: string;
  let server: AsyncDisposable;
  let joins: JoinRequest[] = [];
  let failing = true;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cvlan-local-"));
    server = await localSocket(folder, (router) =>
      router.service(AgentService, {
        getStatus: () => ({ status }),
        async *watchStatus(_request, { signal }) {
          yield { status };
          yield { status: { ...status, engine: { ...status.engine, map: { ...status.engine.map, revision: 10n } } } };
          await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        },
        async *diagnose() {
          yield { check: { name: "agent", verdict: CheckVerdict.OK, found: "runs" } };
          const clock = { name: "clock", verdict: CheckVerdict.FAIL, found: "3 h behind", remedy: "set it" };
          if (failing) yield { check: clock };
        },
        join: (request) => {
          joins.push(request);
          if (request.joinString.startsWith("cvlan1.bad")) {
            throw new Refusal("invalid", "JOIN_STRING_INVALID", "the join string is cut off", {
              field: "join_string",
            }).toConnectError();
          }
          return { status };
        },
        explain: ({ source, destination, protocol, port }) => ({
          explanation: {
            forwarded: port === 443,
            hops: [
              { name: "route", ok: true, detail: `${source || "this node"} to ${destination}`, nodeId: "node_2" },
              { name: "filter", ok: port === 443, detail: `protocol ${protocol} port ${port}`, remedy: "add a rule" },
            ],
          },
        }),
        async *ping({ destination, count }) {
          for (let sequence = 1; sequence <= count; sequence += 1) {
            yield { address: "100.64.0.2", reply: destination === "db1" ? { sequence, rttUs: 1_234n } : { sequence } };
          }
        },
      }),
    );
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  beforeEach(() => {
    joins = [];
    failing = true;
  });
  const run = (argv: string[], stdin?: string) =>
    cvlan(["--state", folder, ...argv], stdin === undefined ? {} : { stdin });

  it("shows the node, its peers, and what is wrong", async () => {
    const { code, out } = await run(["status"]);
    assert.equal(code, 0);
    assert.match(out, /name: +web1\n/);
    assert.match(out, /addresses: +fd00::1\n/);
    assert.match(out, /health: +degraded: at fault: host\n/);
    assert.match(out, /controller: +https:\/\/vpn\.example\.org unreachable, heard 3 min ago: it is down\n/);
    assert.match(out, /map: +revision 1\.9, head 95 s ago, issued at an unknown time, STALE\n/);
    assert.match(out, /versions: +agent 0\.1\.0, engine 0\.1\.1\n/);
    assert.match(out, /db1 +idle +100\.64\.0\.2 +\[2001:db8::2\]:7 +1332 searching +7 min ago +2\.0 MiB +0 B\n/);
    assert.match(out, /evil\?\[31m +never +- +- +- +- +5 B +0 B\n/);
    assert.match(out, /problems:\n {2}host: the command `ip` is not installed; install the package iproute2\n/);
    assert.ok(!out.includes("\u001b"), "a peer's name moved the terminal");
    const json = JSON.parse((await run(["--json", "status"])).out) as { state: string; engine: { listenPort: number } };
    assert.equal(json.state, "AGENT_STATE_RUNNING");
    assert.equal(json.engine.listenPort, 51_820);
  });

  it("shows the status with each change, drawn anew on a terminal, a line or a document elsewhere", async () => {
    const watched = async (lines: number, argv: string[], terminal = false) => {
      const stop = new AbortController();
      let seen = "";
      return await cvlan(["--state", folder, "status", "--watch", ...argv], {
        terminal,
        signal: stop.signal,
        out: (text) => {
          seen += text;
          if (seen.split(terminal ? "\u001b[H" : "\n").length > lines) stop.abort();
        },
      });
    };
    const plain = await watched(2, []);
    assert.equal(plain.code, 0, plain.err);
    const [first = "", second = ""] = plain.out.split("\n");
    assert.match(
      first,
      /^\S+Z; degraded: at fault: host; controller unreachable; map revision 1\.9, .*; 0 of 2 peers active$/,
    );
    assert.match(second, /map revision 1\.10, head 95 s ago/);
    const json = await watched(2, ["--json"]);
    const revisions = json.out
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { engine: { map: { revision: string } } }).engine.map.revision);
    assert.deepEqual(revisions.slice(0, 2), ["9", "10"]);
    const drawn = await watched(3, [], true);
    assert.equal(drawn.code, 0, drawn.err);
    const pictures = drawn.out.split("\u001b[H\u001b[J").slice(1);
    assert.ok(pictures.every((picture) => picture.startsWith("name: ")));
    // The last picture is drawn a second later, with nothing new but the ages.
    assert.match(pictures.at(-1) ?? "", /head 9[6-9] s ago/);
  });

  it("tells what the doctor finds as it is found, and fails when something failed", async () => {
    const sick = await run(["doctor"]);
    assert.equal(sick.code, 1);
    assert.match(sick.out, /^ok {4}agent +runs\nFAIL {2}clock +3 h behind\n +what next: set it\n/);
    assert.match(sick.err, /failed: clock\n/);
    const json = await run(["doctor", "--json"]);
    assert.equal(json.code, 1);
    const { checks } = JSON.parse(json.out) as { checks: { name: string; verdict: string }[] };
    assert.deepEqual(
      checks.map(({ name, verdict }) => [name, verdict]),
      [
        ["agent", "CHECK_VERDICT_OK"],
        ["clock", "CHECK_VERDICT_FAIL"],
      ],
    );
    failing = false;
    assert.equal((await run(["doctor"])).code, 0);
  });

  it("looks at what it can when there is no agent, and says what to do", async () => {
    const state = join(folder, "orphan");
    await mkdir(state, { mode: 0o700 });
    const { code, out, err } = await cvlan(["--state", state, "doctor"]);
    assert.equal(code, 1);
    assert.match(out, /^FAIL {2}agent +no agent serves .*\n +what next: start cvlan-agent/);
    assert.match(out, /\nok {4}state /);
    assert.match(out, /\n(ok|FAIL|WARN) +tun /);
    assert.match(out, /\n- +reachability +this machine has not joined\n/);
    assert.match(err, /failed: agent/);
    // A socket that a dead agent left behind.
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(join(state, "agent.sock"), resolve));
    await rename(join(state, "agent.sock"), join(state, "kept.sock"));
    await new Promise((resolve) => dead.close(resolve));
    await rename(join(state, "kept.sock"), join(state, "agent.sock"));
    const left = await cvlan(["--state", state, "doctor", "--json"]);
    assert.equal(left.code, 1);
    const { checks } = JSON.parse(left.out) as { checks: { name: string; verdict: string; found: string }[] };
    assert.equal(checks[0]?.verdict, "CHECK_VERDICT_FAIL");
    assert.match(checks[0]?.found ?? "", /cannot be reached/);
  });

  it("joins by standard input or a file, never by an argument", async () => {
    assert.equal((await run(["join"], "cvlan1.aaaaaaaaaaaaaaaa\n")).out, "joined office as web1\n");
    assert.equal(joins[0]?.joinString, "cvlan1.aaaaaaaaaaaaaaaa");
    const file = join(folder, "join.txt");
    await writeFile(file, "cvlan1.bbbbbbbbbbbbbbbb\n", { mode: 0o644 });
    const open = await run(["join", "--file", file]);
    assert.equal(open.code, 2);
    assert.match(open.err, /others may read it\n {2}what next: chmod 600 /);
    assert.equal(joins.length, 1);
    await chmod(file, 0o600);
    assert.equal((await run(["join", "--file", file, "--name", "web2"])).code, 0);
    assert.equal(joins[1]?.name, "web2");
    assert.equal((await run(["join", "cvlan1.cccccccccccccccc"])).code, 2);
    assert.equal((await run(["join"])).code, 2);
    assert.equal((await run(["join"], "")).code, 2);
    const bad = await run(["join"], "cvlan1.bad0123456789");
    assert.equal(bad.code, 1);
    assert.match(bad.err, /where: field join_string/);
    assert.equal(joins.length, 3);
  });

  it("pings, and fails when nobody answers", async () => {
    const { code, out } = await run(["ping", "db1", "-c", "2"]);
    assert.equal(code, 0);
    assert.match(out, /^db1 \(100\.64\.0\.2\) seq=1 time=1\.23 ms\n[\s\S]*2 sent, 2 answered\n$/);
    const silent = await run(["--json", "ping", "db2", "-c", "1"]);
    assert.equal(silent.code, 1);
    assert.equal((JSON.parse(silent.out) as { replies: unknown[] }).replies.length, 1);
    assert.equal((await run(["ping", "db1", "-c", "101"])).code, 2);
  });

  it("says why a packet is stopped", async () => {
    const passes = await run(["why", "db1:443"]);
    assert.equal(passes.code, 0);
    assert.match(passes.out, /filter +ok +protocol 6 port 443\nmap: revision 1\.9.*STALE\n/);
    assert.match(
      passes.out,
      /\nlast handshake with db1: never with \[2001:db8::2\]:7\nlargest packet to db1: 1332 searching\na packet to db1:443 is forwarded\n$/,
    );
    const json = JSON.parse((await run(["--json", "why", "db1:443"])).out) as { forwarded: boolean; local: object };
    assert.equal(json.forwarded, true);
    assert.deepEqual(Object.keys(json.local), ["side", "explanation", "map", "peer"]);
    const stopped = await run(["why", "[fd00::2]:22"]);
    assert.equal(stopped.code, 1);
    assert.match(stopped.out, /route +ok +this node to fd00::2\nfilter +BLOCKED/);
    assert.match(stopped.err, /stopped at: filter\n {2}what next: add a rule/);
    assert.match((await run(["why", "db1:53", "--protocol", "udp"])).out, /protocol 17 port 53/);
    assert.equal((await run(["why", "db1:99999"])).code, 2);
    assert.equal((await run(["why", "a", "b", "c"])).code, 2);
    assert.match((await run(["why", "db1", "web1:443"])).out, /route +ok +db1 to web1\n/, "what arrives here");
    const elsewhere = await run(["why", "db1", "db2:443"]);
    assert.equal(elsewhere.code, 2, "nobody here knows of others, and no controller is named");
    assert.match(elsewhere.err, /no controller is named\n {2}what next: run `cvlan login`/);
  });

  it("says so when there is no agent", async () => {
    const { code, err } = await cvlan(["--state", join(folder, "none"), "status"]);
    assert.equal(code, 4);
    assert.match(err, /no agent serves .*agent\.sock\n {2}what next: start cvlan-agent/);
  });

  it("runs by its launcher, from anywhere", async () => {
    const launcher = join(import.meta.dirname, "..", "bin", "cvlan");
    const { stdout } = await promisify(execFile)(launcher, ["--json", "--state", folder, "status"], { cwd: "/" });
    assert.equal((JSON.parse(stdout) as { name: string }).name, "web1");
  }).timeout(60_000);
});
