import assert from "node:assert/strict";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { joinBoth, ping, type Site, startSite, tcp, until } from "./site/index.ts";
import { CONTROLLER_GONE } from "./site/loud.ts";
import { openStream } from "./site/stream.ts";

/** Five times the promise of 5 s. */
const REBOOT_CEILING_MS = 25_000;

describe("control plane, database and CA gone", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({ store: "postgres", workers: 1, provokes: CONTROLLER_GONE });
    await site.tenant.apply(ping, tcp);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  it("leaves a TCP stream unbroken, also through a restart of both agents", async () => {
    const { lab, control, a, b, folder } = site;
    await using stream = await openStream(lab, a, b, folder);
    await stream.flows();
    await control.workers[0]?.end("SIGKILL");
    await control.postgres?.server.stop();
    control.ca.kill();
    await stream.flows(50);
    for (const node of [a, b]) {
      await node.agent.end("SIGKILL");
      await stream.flows();
      await node.startAgent();
      await stream.flows();
    }
    const connected = await Promise.all([a, b].map(async (node) => (await node.status())?.controller));
    assert.ok(!connected.includes(ControllerState.CONNECTED), "the controller is really gone");
  });

  it("lets a rebooted node ping again from its signed map", async () => {
    const { lab, a } = site;
    await a.agent.end("SIGKILL");
    await a.killEngine();
    const link = await lab.exec(a.name, ["ip", "link", "show", "dev", "cvlan0"]);
    assert.notEqual(link.code, 0, "the TUN device is gone, as after a reboot");
    const began = performance.now();
    await a.startAgent();
    await until("hosta pings hostb", async () => (await a.ping("hostb", 1, 500)) > 0, REBOOT_CEILING_MS);
    const took = Math.round(performance.now() - began);
    process.stderr.write(`# a rebooted node pinged after ${took} ms without a controller\n`);
  });

  it("is over without anybody joining again", async () => {
    const { control, a, b } = site;
    const ids = [(await a.status())?.nodeId, (await b.status())?.nodeId];
    await control.postgres?.server.start();
    await control.ca.start();
    await control.startWorker(0);
    for (const node of [a, b]) {
      await until(
        `${node.name} is connected`,
        async () => (await node.status())?.controller === ControllerState.CONNECTED,
      );
    }
    assert.deepEqual([(await a.status())?.nodeId, (await b.status())?.nodeId], ids);
    assert.ok((await a.ping("hostb")) > 0);
  });
});
