import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { AgentService, AgentState, ControllerState, type JoinRequest } from "@cloudvlan/gen/agent/v1/agent_pb.js";
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
      { name: "evil\u001b[31m", addresses: [], bytesReceived: 5n },
      {
        name: "db1",
        addresses: [{ address, length: 32 }],
        endpoint: { address: "2001:db8::2", port: 7 },
        bytesReceived: 2_097_152n,
      },
    ],
  },
  problems: [{ part: "host", message: "the command `ip` is not installed", remedy: "install the package iproute2" }],
};

describe("cvlan on its own machine", () => {
  let folder: string;
  let server: AsyncDisposable;
  let joins: JoinRequest[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cvlan-local-"));
    server = await localSocket(folder, (router) =>
      router.service(AgentService, {
        getStatus: () => ({ status }),
        join: (request) => {
          joins.push(request);
          if (request.joinString.startsWith("cvlan1.bad")) {
            throw new Refusal("invalid", "JOIN_STRING_INVALID", "the join string is cut off", {
              field: "join_string",
            }).toConnectError();
          }
          return { status };
        },
        explain: ({ destination, protocol, port }) => ({
          explanation: {
            forwarded: port === 443,
            hops: [
              { name: "route", ok: true, detail: `to ${destination}` },
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
  });
  const run = (argv: string[], stdin?: string) =>
    cvlan(["--state", folder, ...argv], stdin === undefined ? {} : { stdin });

  it("shows the node, its peers, and what is wrong", async () => {
    const { code, out } = await run(["status"]);
    assert.equal(code, 0);
    assert.match(out, /name: +web1\n/);
    assert.match(out, /addresses: +fd00::1\n/);
    assert.match(out, /controller: +https:\/\/vpn\.example\.org unreachable: it is down\n/);
    assert.match(out, /map: +revision 1\.9, head , STALE\n|map: +revision 1\.9.*STALE\n/);
    assert.match(out, /db1 +100\.64\.0\.2 +\[2001:db8::2\]:7 +- +2\.0 MiB +0 B\n/);
    assert.match(out, /problems:\n {2}host: the command `ip` is not installed; install the package iproute2\n/);
    assert.ok(!out.includes("\u001b"), "a peer's name moved the terminal");
    const json = JSON.parse((await run(["--json", "status"])).out) as { state: string; engine: { listenPort: number } };
    assert.equal(json.state, "AGENT_STATE_RUNNING");
    assert.equal(json.engine.listenPort, 51_820);
  });

  it("joins by standard input or a file, never by an argument", async () => {
    assert.equal((await run(["join"], "cvlan1.aaaaaaaaaaaaaaaa\n")).out, "joined office as web1\n");
    assert.equal(joins[0]?.joinString, "cvlan1.aaaaaaaaaaaaaaaa");
    const file = join(folder, "join.txt");
    await writeFile(file, "cvlan1.bbbbbbbbbbbbbbbb\n");
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
    assert.match(passes.out, /filter +ok +protocol 6 port 443\na packet to db1:443 is forwarded\n/);
    const stopped = await run(["why", "[fd00::2]:22"]);
    assert.equal(stopped.code, 1);
    assert.match(stopped.out, /route +ok +to fd00::2\nfilter +BLOCKED/);
    assert.match(stopped.err, /stopped at: filter\n {2}what next: add a rule/);
    assert.match((await run(["why", "db1:53", "--protocol", "udp"])).out, /protocol 17 port 53/);
    assert.equal((await run(["why", "db1:99999"])).code, 2);
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
