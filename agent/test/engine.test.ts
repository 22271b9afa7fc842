import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { EngineService } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { systemClock } from "@cloudvlan/kit/clock";
import { reachEngine } from "../engine/running.ts";
import { engineLink, superviseEngine } from "../engine/supervise.ts";
import { spawnEngine } from "../engine/spawn.ts";
import { engineTransport } from "../engine/transport.ts";
import { problemBook, reasonOf } from "../state/problems.ts";
import { testEngine } from "./engine.ts";
import { noTelemetry, recordingLog, temporaryFolder, until } from "./support.ts";

describe("the engine's transport", () => {
  it("carries calls, streams, and errors with their details", async () => {
    await using folder = await temporaryFolder();
    await using engine = await testEngine(folder.path);
    using transport = engineTransport(join(folder.path, "engine.sock"), systemClock);
    const client = createClient(EngineService, transport);
    assert.equal((await client.getIdentity({})).instanceId, engine.instanceId);
    const replies = await Array.fromAsync(client.ping({ destination: new Uint8Array(4), count: 3 }));
    assert.deepEqual(
      replies.map(({ sequence }) => sequence),
      [1, 2, 3],
    );
    await assert.rejects(
      client.apply({ generation: 0n }),
      (error) =>
        error instanceof ConnectError && error.code === Code.FailedPrecondition && reasonOf(error) === "OLD_GENERATION",
    );
  });

  it("ends a stream when its signal aborts, and says when nobody listens", async () => {
    await using folder = await temporaryFolder();
    await using _engine = await testEngine(folder.path);
    using transport = engineTransport(join(folder.path, "engine.sock"), systemClock);
    const stop = new AbortController();
    const seen: (string | undefined)[] = [];
    await assert.rejects(async () => {
      for await (const { item } of createClient(EngineService, transport).watch({}, { signal: stop.signal })) {
        seen.push(item.case);
        if (seen.length === 2) stop.abort();
      }
    }, /cancel/i);
    assert.deepEqual(seen, ["opened", "status"]);
    using absent = engineTransport(join(folder.path, "none.sock"), systemClock);
    await assert.rejects(
      createClient(EngineService, absent).getIdentity({}),
      (error) => error instanceof ConnectError && error.code === Code.Unavailable,
    );
  });

  it("makes each apply with a greater generation, whoever calls first", async () => {
    await using folder = await temporaryFolder();
    await using engine = await testEngine(folder.path);
    using transport = engineTransport(join(folder.path, "engine.sock"), systemClock);
    const running = await reachEngine(transport, AbortSignal.timeout(30_000), 5_000);
    await Promise.all(Array.from({ length: 20 }, () => running.apply({})));
    assert.deepEqual(
      engine.applied.map(({ generation }) => Number(generation)),
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
  });
});

describe("supervision of the engine", function () {
  this.timeout(120_000);
  let binary: string;
  let older: string;
  let newer: string;
  let broken: string;
  let folder: string;
  const pids = new Set<number>();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cvlan-engine-"));
    [binary, older, newer, broken] = ["engine", "older", "newer", "broken"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
      string,
    ];
    const program = join(import.meta.dirname, "engine-program.ts");
    const write = (path: string, environment: string) =>
      writeFile(path, `#!/bin/sh\n${environment} exec ${process.execPath} ${program} "$@"\n`, { mode: 0o755 });
    await write(binary, "");
    await write(older, `TEST_BUILD=${"a".repeat(64)}`);
    await write(newer, `TEST_BUILD=${"b".repeat(64)}`);
    await write(broken, `TEST_BUILD=${"c".repeat(64)} TEST_BROKEN=1`);
  });
  after(async () => {
    for (const pid of pids) kill(pid);
    await rm(folder, { recursive: true });
  });

  function start(state: string, path = binary) {
    const { log, lines } = recordingLog();
    const problems = problemBook();
    const link = engineLink();
    const stop = new AbortController();
    const done = superviseEngine(
      link,
      { path, metrics: undefined, state, log, clock: systemClock, problems, telemetry: noTelemetry },
      stop.signal,
    );
    const pidsNow = () =>
      lines.flatMap((line) =>
        /"engine started( to take over)?"/.test(line) ? (JSON.parse(line) as { pid: number }).pid : [],
      );
    return {
      link,
      problems,
      lines,
      pids: () => {
        for (const pid of pidsNow()) pids.add(pid);
        return pidsNow();
      },
      async stop() {
        stop.abort();
        await done;
      },
    };
  }
  const kill = (pid: number) => {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
    }
  };

  it("starts it, leaves it running, takes it over, and starts another when it dies", async () => {
    await using state = await temporaryFolder();
    const first = start(state.path);
    await until("the engine is up", () => first.link.status.get() !== undefined);
    const instance = first.link.running.get()?.identity.instanceId;
    const [pid = 0] = first.pids();
    await first.stop();
    process.kill(pid, 0);

    const second = start(state.path);
    await until("it is taken over", () => second.link.status.get() !== undefined);
    assert.equal(second.link.running.get()?.identity.instanceId, instance);
    assert.deepEqual(second.pids(), []);

    kill(pid);
    await until("another is up", () => {
      const now = second.link.running.get()?.identity.instanceId;
      return now !== undefined && now !== instance;
    });
    assert.equal(second.pids().length, 1);
    await second.stop();
    for (const left of second.pids()) kill(left);
  });

  const loud = (lines: string[]) => lines.filter((line) => /"level":"?(warn|error|[45]0)/.test(line));

  it("has another build follow the one that runs, and the same build again when somebody wishes", async () => {
    await using state = await temporaryFolder();
    const first = start(state.path, older);
    await until("the engine is up", () => first.link.status.get() !== undefined);
    const instance = first.link.running.get()?.identity.instanceId;
    await first.stop();

    const second = start(state.path, newer);
    await until("another is up", () => (second.link.running.get()?.identity.instanceId ?? instance) !== instance);
    await until("it says whom it followed", () => second.link.status.get()?.takeover?.formerInstanceId === instance);
    const next = second.link.running.get()?.identity;
    assert.equal(next?.build, "b".repeat(64));

    const replaced = await second.link.wishes.wish(AbortSignal.timeout(30_000));
    assert.equal(replaced.takeover?.formerInstanceId, next.instanceId);
    await until(
      "the third is followed",
      () => second.link.status.get()?.takeover?.formerInstanceId === next.instanceId,
    );
    assert.equal(second.pids().length, 2);
    await second.stop();

    const third = start(state.path, newer);
    await until("it is taken over", () => third.link.status.get() !== undefined);
    assert.deepEqual(third.pids(), [], "the same build is left alone");
    await third.stop();
    assert.deepEqual(
      [...first.lines, ...second.lines, ...third.lines].filter((line) => loud([line]).length > 0),
      [],
    );
    for (const { pids: started } of [first, second]) for (const pid of started()) kill(pid);
  });

  it("goes on with the former one when the new one fails, and says why to whom it concerns", async () => {
    await using state = await temporaryFolder();
    const first = start(state.path, older);
    await until("the engine is up", () => first.link.status.get() !== undefined);
    const instance = first.link.running.get()?.identity.instanceId;
    await first.stop();
    const second = start(state.path, broken);
    await until("the former one goes on", () => second.link.running.get()?.identity.instanceId === instance);
    assert.match(loud(second.lines).join(""), /not whole.*not replaced/s);
    await assert.rejects(second.link.wishes.wish(AbortSignal.timeout(30_000)), /not whole/);
    await until("it still does", () => second.link.running.get()?.identity.instanceId === instance);
    await second.stop();
    for (const { pids: started } of [first, second]) for (const pid of started()) kill(pid);
  });

  it("follows a process that somebody else had take over", async () => {
    await using state = await temporaryFolder();
    const first = start(state.path, older);
    await until("the engine is up", () => first.link.status.get() !== undefined);
    const instance = first.link.running.get()?.identity.instanceId;
    const by = await spawnEngine(newer, state.path, undefined, true);
    pids.add(by.pid);
    await until("it is followed", () => first.link.status.get()?.takeover?.formerInstanceId === instance);
    assert.equal(first.pids().length, 1, "no third one was started");
    assert.deepEqual(loud(first.lines), []);
    await first.stop();
  });

  it("runs it in a session of its own", async () => {
    await using state = await temporaryFolder();
    const running = start(state.path);
    await until("the engine is up", () => running.link.running.get() !== undefined);
    const [pid = 0] = running.pids();
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const session = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[3]);
    assert.equal(session, pid);
    await running.stop();
    kill(pid);
  });

  it("says why it cannot run, and does not spin", async () => {
    await using state = await temporaryFolder();
    const missing = start(state.path, join(folder, "none"));
    await until("a problem", () => missing.problems.list().length > 0);
    assert.match(missing.problems.list()[0]?.message ?? "", /cannot start the engine .*none \(ENOENT\)/);
    assert.match(missing.problems.list()[0]?.remedy ?? "", /--engine/);
    await missing.stop();

    await using other = await temporaryFolder();
    const taken = start(join(other.path, "port-taken"));
    await mkdir(join(other.path, "port-taken"), { mode: 0o700 });
    await until("its last words", () => /port 51820 is in use/.test(taken.problems.list()[0]?.message ?? ""));
    await taken.stop();
    assert.ok(taken.pids().length < 10, `${taken.pids().length} starts`);
  });
});
