import assert from "node:assert/strict";
import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { joinBoth, ping, type Site, startSite, tcp, until } from "./site/index.ts";
import { CONTROLLER_GONE } from "./site/loud.ts";

/** What happens to a file: the power goes in the middle of a write, or the disk gives back something else. */
const DAMAGES = {
  truncated: async (path: string): Promise<void> => truncate(path, Math.floor((await readFile(path)).length / 2)),
  garbled: async (path: string): Promise<void> => {
    const bytes = await readFile(path);
    for (let at = 1; at < bytes.length; at += 7) bytes[at] = 0xff - (bytes[at] ?? 0);
    await writeFile(path, bytes);
  },
} as const;

describe("damaged files of a node", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({
      store: "pglite",
      workers: 1,
      provokes: [...CONTROLLER_GONE, /is damaged/, /KEYS_DAMAGED/],
    });
    await site.tenant.apply(ping);
    await joinBoth(site);
    await changePolicy();
  });
  after(() => site?.[Symbol.asyncDispose]());

  const file = (name: string): string => join(site.a.state, name);
  const problem = async (part: string) => (await site.a.status())?.problems.find((one) => one.part === part);
  const revision = async (): Promise<bigint> => (await site.a.status())?.engine?.map?.revision ?? 0n;

  /** Brings a further map to hosta: the one before it is kept beside it. */
  async function changePolicy(): Promise<void> {
    const former = await revision();
    await site.tenant.apply(ping, tcp);
    await site.tenant.apply(ping);
    await until("hosta has both policies", async () => (await revision()) >= former + 2n);
  }

  async function stopNode(): Promise<void> {
    await site.a.agent.end("SIGKILL");
    await site.a.killEngine();
  }

  async function isWell(): Promise<void> {
    const { a } = site;
    await until("hosta is connected and nothing is wrong", async () => {
      const status = await a.status();
      const isMended = status?.engine?.map?.damage === "";
      return isMended && status.controller === ControllerState.CONNECTED && status.problems.length === 0;
    });
    await until("hosta pings hostb", async () => (await a.ping("hostb")) > 0);
  }

  for (const [how, damage] of Object.entries(DAMAGES)) {
    it(`comes up from the map before a ${how} one, says so, and gets a whole one from the controller`, async () => {
      const { control, a } = site;
      await changePolicy();
      const newest = await revision();
      await control.workers[0]?.end("SIGKILL");
      await stopNode();
      await damage(file("engine/map"));
      await a.startAgent();
      await until("hosta pings hostb", async () => (await a.ping("hostb")) > 0);
      assert.ok((await revision()) < newest);
      const told = await until("hosta says so", () => problem("map"));
      assert.match(told.message, /DAMAGED/);
      assert.notEqual(told.remedy, "");
      await control.startWorker(0);
      await isWell();
      await until("hosta has the newest map", async () => (await revision()) >= newest);
    });
  }

  it("forwards nothing without any map it can verify, says so, and gets one from the controller", async () => {
    const { control, a } = site;
    await control.workers[0]?.end("SIGKILL");
    await stopNode();
    await DAMAGES.garbled(file("engine/map"));
    await DAMAGES.truncated(file("engine/map.previous"));
    await a.startAgent();
    const told = await until("hosta says so", () => problem("map"));
    assert.match(told.message, /DAMAGED/);
    assert.equal(await revision(), 0n);
    assert.equal(await a.ping("hostb", 1, 500), 0);
    await control.startWorker(0);
    await isWell();
  });

  const others = [
    ["agent.json", "join", "garbled"],
    ["agent.json", "join", "truncated"],
    ["tls.pem", "certificate", "garbled"],
    ["tls.key", "certificate", "truncated"],
    ["roots.pem", "certificate", "garbled"],
  ] as const;
  for (const [name, part, how] of others) {
    it(`goes on to forward with a ${how} ${name}, says what is wrong, and is well with the right one`, async () => {
      const { a, b } = site;
      const good = await readFile(file(name));
      try {
        await a.agent.end("SIGKILL");
        await DAMAGES[how](file(name));
        await a.startAgent();
        const told = await until("hosta says so", () => problem(part));
        assert.ok(told.message.includes(`${name} is damaged`), told.message);
        assert.notEqual(told.remedy, "", told.message);
        assert.equal(await b.ping("hosta", 5, 5_000), 5);
      } finally {
        await writeFile(file(name), good);
        await a.agent.end("SIGKILL");
        await a.startAgent();
      }
      await isWell();
    });
  }

  for (const [how, damage] of Object.entries(DAMAGES)) {
    it(`does not make other keys in place of ${how} ones`, async () => {
      const { a } = site;
      const good = await readFile(file("engine/keys"));
      await stopNode();
      await damage(file("engine/keys"));
      await a.startAgent();
      const told = await until("hosta says so", () => problem("engine"));
      assert.match(told.message, /key file is damaged/);
      assert.equal(await a.ping("hostb", 1, 500), 0);
      await writeFile(file("engine/keys"), good);
      await isWell();
    });
  }
});
