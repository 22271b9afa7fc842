import assert from "node:assert/strict";
import { once } from "node:events";
import { appendFile, copyFile, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import type { Takeover } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { program } from "@cloudvlan/infra/site/process";
import { programsOf } from "@cloudvlan/infra/start/programs";
import { start } from "@cloudvlan/test/lab";
import { allow, joinBoth, ping, type Site, type SiteNode, startSite, tcp, until } from "./site/index.ts";
import { openStream } from "./site/stream.ts";

const PORT = 5002;
/** Five times the promise of 200 ms. */
const GAP_CEILING_MS = 1_000;
const path = (name: string): string => fileURLToPath(new URL(`programs/${name}`, import.meta.url));

interface Counted {
  readonly sent: number;
  readonly came: number;
  readonly silenceMs: number;
}

/** A thousand datagrams a second to a machine and back, until it is asked what became of them. */
async function countAnswers(site: Site, from: SiteNode, to: SiteNode): Promise<{ end(): Promise<Counted> }> {
  const [own, address] = [await from.address(), await to.address()];
  const answering = program(
    site.lab.argvOn(to.name, [process.execPath, path("answer.ts"), address, String(PORT)]),
    join(site.folder, "answer.out"),
  );
  await answering.start();
  await until("somebody answers", async () => (await answering.said()).includes("listening"));
  const argv = [process.execPath, path("count-answers.ts"), own, address, String(PORT)];
  const counting = await start(site.lab.argvOn(from.name, argv), { stdio: ["pipe", "pipe", "inherit"] });
  let said = "";
  counting.stdout?.on("data", (data: Buffer) => void (said += data.toString()));
  return {
    end: async () => {
      const ended = once(counting, "exit");
      counting.stdin?.end();
      await ended;
      await answering.end("SIGKILL");
      return JSON.parse(said) as Counted;
    },
  };
}

describe("the engine of a machine is replaced", function () {
  this.timeout(300_000);
  let site: Site;
  let folder: string;
  let engine: string;

  /** Puts another build in the place of the engine, as a package does. */
  async function upgrade(): Promise<void> {
    const next = `${engine}.new`;
    await copyFile(engine, next);
    await appendFile(next, "another build");
    await rename(next, engine);
  }
  const engineOf = async (node: SiteNode) => (await node.status())?.engine;
  const handshakes = async () => {
    const names = ["handshakes_initiated", "handshakes_completed"];
    return await Promise.all([site.a, site.b].flatMap((node) => names.map((name) => node.counter(name))));
  };
  function tell(what: string, { sessions, flows, gapUs }: Takeover, { sent, came, silenceMs }: Counted): void {
    const gap = (Number(gapUs) / 1_000).toFixed(1);
    process.stderr.write(
      `# ${what}: a gap of ${gap} ms, ${sessions} sessions and ${flows} flows went on; of ${sent} packets, 1000 a second, ` +
        `${sent - came} were lost, the longest silence was ${silenceMs} ms\n`,
    );
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cv-engine-"));
    engine = join(folder, "cvlan-engine");
    await copyFile(programsOf(process.env, process.execPath).engine, engine);
    site = await startSite({ store: "pglite", workers: 1, programs: { engine } });
    await site.tenant.apply(ping, tcp, allow("udp", PolicyProtocol.UDP));
    await joinBoth(site);
  });
  after(async () => {
    await site?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true });
  });

  it("by itself when an agent finds another build, under traffic that loses nothing", async () => {
    const { lab, a, b, folder: logs } = site;
    await using stream = await openStream(lab, a, b, logs);
    await stream.flows();
    const counted = await countAnswers(site, a, b);
    const before = { engine: await engineOf(a), handshakes: await handshakes(), pid: await a.enginePid() };
    await upgrade();
    await a.agent.stop();
    await a.startAgent();
    const takeover = await until("another engine runs", async () => (await engineOf(a))?.takeover);
    await stream.flows(50);
    const result = await counted.end();
    tell("an upgrade", takeover, result);
    assert.equal(takeover.formerInstanceId, before.engine?.instanceId);
    assert.equal(takeover.ordinary, "");
    assert.equal(takeover.sessions, 1);
    assert.ok(takeover.flows >= 2, "the stream and the datagrams");
    assert.ok(Number(takeover.gapUs) / 1_000 < GAP_CEILING_MS);
    assert.equal(result.came, result.sent, "no packet is lost");
    assert.deepEqual(await handshakes(), before.handshakes, "on either side");
    assert.notEqual(await a.enginePid(), before.pid);
  });

  it("when an operator wishes, and the other machine's as well", async () => {
    const { lab, a, b, folder: logs } = site;
    await using stream = await openStream(lab, a, b, logs);
    await stream.flows();
    const counted = await countAnswers(site, a, b);
    const before = await handshakes();
    for (const node of [a, b]) {
      const said = JSON.parse(await node.cvlan(["engine", "replace", "--json"])) as { takeover: { sessions: number } };
      assert.equal(said.takeover.sessions, 1);
      assert.match(await node.cvlan(["engine", "replace"]), /sessions: +1\n.*gap: +[0-9.]+ ms/s);
      await stream.flows();
    }
    const takeover = (await engineOf(b))?.takeover;
    const result = await counted.end();
    assert.ok(takeover);
    tell("two machines, each twice", takeover, result);
    assert.equal(result.came, result.sent, "no packet is lost");
    assert.deepEqual(await handshakes(), before);
  });

  it("and follows the policy and its peers as before", async () => {
    const { tenant, a, b } = site;
    assert.ok((await a.ping("hostb")) > 0);
    await tenant.apply(tcp);
    await until("pings are stopped on both sides", async () => (await a.ping("hostb", 1, 500)) === 0);
    await a.cvlan(["engine", "replace"]);
    assert.equal(await a.ping("hostb", 1, 500), 0);
    await tenant.apply(ping, tcp);
    await until("and let through again", async () => (await a.ping("hostb", 1, 500)) > 0);
    assert.deepEqual(
      (await Promise.all([a, b].map((node) => node.status()))).map((status) => status?.problems),
      [[], []],
    );
  });
});
