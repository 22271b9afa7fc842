import assert from "node:assert/strict";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { type MapUpdate, MapUpdateSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type MapPosition, NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { systemClock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import { createCsr, newTlsKey } from "@cloudvlan/kit/pki";
import { acceptCertificate, type TlsIdentity } from "../certificate/identity.ts";
import { controllerOf } from "../controller/connection.ts";
import { CONNECTING, type ControllerView } from "../controller/view.ts";
import { reachEngine, type RunningEngine } from "../engine/running.ts";
import { engineTransport } from "../engine/transport.ts";
import { FOLLOW_TIMES, followMap, type FollowTimes } from "../map/follow.ts";
import { stepCollector } from "../map/step.ts";
import { cell } from "../state/cell.ts";
import { problemBook } from "../state/problems.ts";
import { CLUSTER, NODE, NODE_URI, TENANT, type TestCa, testCa } from "./ca.ts";
import { type TestController, testController } from "./controller.ts";
import { testEngine } from "./engine.ts";
import { joinCause } from "../state/cause.ts";
import { recordingLog, temporaryFolder, until } from "./support.ts";

/** A gate that a handler waits at until the stream is cut. */
const forever = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

type Frame = Partial<Pick<MapUpdate, "previous" | "revision" | "full" | "more" | "headKept">> & { head?: string };
type Script = (position: MapPosition, context: HandlerContext) => AsyncIterable<Frame>;

const frame = ({ head = "", ...fields }: Frame) => ({
  update: create(MapUpdateSchema, { ...fields, head: Buffer.from(head) }),
});

describe("the map's way to the engine", function () {
  this.timeout(120_000);
  let ca: TestCa;
  let controller: TestController;
  let identity: TlsIdentity;
  let script: Script;
  let poll: (position: MapPosition) => Frame[];
  let positions: MapPosition[] = [];
  let polls = 0;

  before(async () => {
    ca = await testCa();
    controller = await testController(ca, (router) => {
      router.service(NetmapService, {
        async *watch({ position }, context) {
          const at = position ?? ({ epoch: 0n, revision: 0n, keysetVersion: 0n } as MapPosition);
          positions.push(at);
          for await (const item of script(at, context)) yield frame(item);
        },
        poll: ({ position }) => {
          polls += 1;
          return { updates: poll(position ?? ({ revision: 0n } as MapPosition)).map((item) => frame(item).update) };
        },
      });
    });
    identity = await newIdentity();
  });
  after(async () => {
    await controller[Symbol.asyncDispose]();
    await ca[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    positions = [];
    polls = 0;
    poll = () => [];
  });

  async function newIdentity(): Promise<TlsIdentity> {
    const key = newTlsKey();
    const { chain } = await ca.authority.sign(await createCsr(key), NODE_URI, [], 3600);
    return acceptCertificate(key, chain, ca.roots, { clusterId: CLUSTER, tenantId: TENANT, nodeId: NODE }, Date.now());
  }

  async function following(times: Partial<FollowTimes> = {}) {
    const folder = await temporaryFolder();
    const engine = await testEngine(folder.path);
    const transport = engineTransport(join(folder.path, "engine.sock"), systemClock);
    const stop = new AbortController();
    const running = await reachEngine(transport, stop.signal, 5_000);
    const configured = cell<RunningEngine | undefined>(running);
    const view = cell<ControllerView>(CONNECTING);
    const identities = cell(identity);
    const problems = problemBook();
    const { log, lines } = recordingLog();
    const done = followMap(
      {
        configured,
        controller: controllerOf(controller.url, identities),
        view,
        identity: identities,
        cause: joinCause(),
        problems,
        clock: systemClock,
        log,
        times: { ...FOLLOW_TIMES, refused: { minMs: 20, maxMs: 50 }, poll: 20, revoked: 60_000, ...times },
      },
      stop.signal,
    );
    return {
      engine,
      view,
      problems,
      identities,
      lines,
      revision: () => Number(engine.status().map?.revision ?? 0n),
      async [Symbol.asyncDispose]() {
        stop.abort();
        await done;
        transport[Symbol.dispose]();
        await engine[Symbol.asyncDispose]();
        await folder[Symbol.asyncDispose]();
      },
    };
  }

  it("gives the engine whole steps and resumes from where the engine stands", async () => {
    script = async function* (at, { signal }) {
      if (at.revision === 0n) {
        yield { revision: 5n, full: true, more: true };
        yield { revision: 5n, head: "H" };
        yield { previous: 5n, revision: 6n, head: "H" };
        throw new ConnectError("drain", Code.Unavailable);
      }
      yield { previous: at.revision, revision: at.revision + 1n, head: "H" };
      await forever(signal);
    };
    await using node = await following();
    await until("revision 7", () => node.revision() === 7);
    assert.deepEqual(
      node.engine.applied.map(({ updates }) => updates.length),
      [2, 1, 1],
    );
    assert.deepEqual(
      positions.map(({ revision }) => Number(revision)),
      [0, 6],
    );
    assert.equal(node.view.get().state, ControllerState.CONNECTED);
  });

  it("drops a step that was cut in the middle", async () => {
    let streams = 0;
    script = async function* (_at, { signal }) {
      streams += 1;
      yield { revision: 5n, full: true, more: true };
      if (streams === 1) throw new ConnectError("cut", Code.Unavailable);
      yield { revision: 5n, head: "H" };
      await forever(signal);
    };
    await using node = await following();
    await until("revision 5", () => node.revision() === 5);
    assert.deepEqual(
      node.engine.applied.map(({ updates }) => updates.length),
      [2],
    );
  });

  it("asks again from the engine's position after a gap, and for everything after a bad signature", async () => {
    let streams = 0;
    script = async function* (at, { signal }) {
      streams += 1;
      if (streams === 1) yield { revision: 3n, full: true, head: "H" };
      if (streams === 1) yield { previous: 9n, revision: 10n, head: "H" };
      if (streams === 2) yield { previous: at.revision, revision: 4n, head: "BAD" };
      if (streams === 3) yield { revision: 8n, full: true, head: "H" };
      await forever(signal);
    };
    await using node = await following();
    await until("revision 8", () => node.revision() === 8);
    assert.deepEqual(
      positions.map(({ revision }) => Number(revision)),
      [0, 3, 0],
    );
    assert.ok(node.lines.some((line) => line.includes("BAD_SIGNATURE")));
    await until("the problem is over", () => node.problems.list().length === 0);
  });

  it("puts a head together from the one before on its stream, and opens the stream anew when that was too short", async () => {
    let streams = 0;
    script = async function* (at, { signal }) {
      streams += 1;
      yield { previous: at.revision, revision: 3n, full: at.revision === 0n, head: "HEAD 1" };
      yield { previous: 3n, revision: 4n, headKept: 5, head: "2" };
      yield { previous: 4n, revision: 5n, headKept: 6 };
      if (streams === 1) yield { previous: 5n, revision: 6n, headKept: 7, head: "3" };
      await forever(signal);
    };
    await using node = await following();
    await until("another stream", () => streams === 2);
    const heads = node.engine.applied.slice(0, 3).map(({ updates }) => updates[0]);
    assert.deepEqual(
      heads.map((update) => [Buffer.from(update?.head ?? []).toString(), update?.headKept]),
      [
        ["HEAD 1", 0],
        ["HEAD 2", 0],
        ["HEAD 2", 0],
      ],
    );
    assert.ok(node.lines.some((line) => line.includes("continues 7 bytes")));
  });

  it("never loops tightly over a map that the engine refuses", async () => {
    script = async function* (_at, { signal }) {
      yield { revision: 3n, full: true, head: "BAD" };
      await forever(signal);
    };
    await using node = await following({ refused: { minMs: 200, maxMs: 400 } });
    await until("three attempts", () => positions.length >= 3);
    const since = systemClock.monotonicMs();
    await until("two more", () => positions.length >= 5);
    assert.ok(systemClock.monotonicMs() - since >= 300);
    assert.equal(node.problems.list()[0]?.part, "map");
    assert.equal(node.revision(), 0);
  });

  it("notices a stream that is dead", async () => {
    script = async function* (at, { signal }) {
      yield { previous: at.revision, revision: at.revision + 1n, full: at.revision === 0n, head: "H" };
      await forever(signal);
    };
    await using node = await following({ silence: 150 });
    await until("a third stream", () => positions.length >= 3);
    assert.match(node.lines.join(""), /said nothing/);
  });

  it("polls where streams never live", async () => {
    script = async function* () {
      yield* [];
      throw new ConnectError("a proxy cut it", Code.Unavailable);
    };
    poll = ({ revision }) => [{ previous: revision, revision: revision + 1n, full: revision === 0n, head: "H" }];
    await using node = await following();
    await until("revision 4", () => node.revision() >= 4);
    assert.ok(polls >= 4);
    assert.equal(node.view.get().state, ControllerState.CONNECTED);
  });

  it("presents a renewed certificate on a new stream", async () => {
    const keys = new Set<string>();
    script = async function* (at, { signal }) {
      keys.add(String(at.revision));
      yield { previous: at.revision, revision: at.revision + 1n, full: at.revision === 0n, head: "H" };
      await forever(signal);
    };
    await using node = await following();
    await until("a stream", () => node.revision() === 1);
    node.identities.set(await newIdentity());
    await until("another stream", () => node.revision() === 2);
    assert.equal(positions.length, 2);
  });

  for (const reason of ["NODE_REVOKED", "IDENTITY_DENIED"]) {
    it(`takes itself for revoked when it is told ${reason}, and asks rarely then`, async () => {
      script = async function* () {
        yield* [];
        throw new Refusal("denied", reason, "the node was revoked").toConnectError();
      };
      await using node = await following();
      await until("revoked", () => node.view.get().revoked);
      assert.equal(positions.length, 1);
      assert.match(node.problems.list().find(({ part }) => part === "controller")?.remedy ?? "", /new join string/);
    });
  }

  it("warns of a stream that breaks, and not of a worker that ends it in good order and has a successor", async () => {
    let streams = 0;
    script = async function* (at, { signal }) {
      streams += 1;
      yield { previous: at.revision, revision: at.revision + 1n, head: "H" };
      if (streams === 1) throw new Refusal("unavailable", "DRAINING", "this worker is shutting down").toConnectError();
      if (streams === 2) throw new ConnectError("cut", Code.Unavailable);
      await forever(signal);
    };
    await using node = await following();
    await until("the third stream", () => node.revision() === 3);
    const warnings = node.lines.filter((line) => line.includes('"level":"warn"'));
    assert.deepEqual(
      warnings.map((line) => (JSON.parse(line) as { why?: string }).why),
      ["cut"],
    );
  });

  it("takes itself for revoked by the first answer that says so, also where it polls", async () => {
    let isRevoked = false;
    script = async function* () {
      yield* [];
      throw new ConnectError("a proxy cut it", Code.Unavailable);
    };
    poll = ({ revision }) => {
      if (isRevoked)
        throw new Refusal("unauthenticated", "IDENTITY_DENIED", "the identity was revoked").toConnectError();
      return [{ previous: revision, revision: revision + 1n, full: revision === 0n, head: "H" }];
    };
    await using node = await following();
    await until("polling", () => polls >= 2);
    isRevoked = true;
    const [before, streams] = [polls, positions.length];
    await until("revoked", () => node.view.get().revoked);
    assert.ok(polls <= before + 2, "one answer was enough, beside one that was under way");
    assert.equal(positions.length, streams);
  });

  it("takes itself for revoked when its certificate is refused again and again, and no more once it is served", async () => {
    let refusals = 0;
    script = async function* (_at, { signal }) {
      refusals += 1;
      if (refusals <= 5) throw new Refusal("unauthenticated", "CERTIFICATE_REFUSED", "not accepted").toConnectError();
      yield { revision: 3n, full: true, head: "H" };
      await forever(signal);
    };
    await using node = await following({ revoked: 200 });
    await until("revoked", () => node.view.get().revoked);
    assert.equal(positions.length, 5);
    await until("served", () => node.revision() === 3);
    assert.equal(node.view.get().revoked, false);
    assert.deepEqual(node.problems.list(), []);
  });
});

describe("a step of the map", () => {
  it("ends with the first frame without more, and is bounded", () => {
    const collector = stepCollector(64);
    const part = (more: boolean, bytes = 4) => create(MapUpdateSchema, { more, head: new Uint8Array(bytes) });
    assert.equal(collector.add(part(true)), undefined);
    assert.equal(collector.add(part(false))?.length, 2);
    assert.equal(collector.add(part(false))?.length, 1);
    assert.equal(collector.add(part(true, 40)), undefined);
    assert.throws(() => collector.add(part(false, 40)), /larger than 64 bytes/);
    assert.equal(collector.add(part(false))?.length, 1);
  });
});
