import assert from "node:assert/strict";
import { type AgentStatus, ControllerState, Health } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { joinBoth, ping, type Site, type SiteNode, startSite, until } from "./site/index.ts";
import { CONTROLLER_GONE, WORKER_ASLEEP } from "./site/loud.ts";

/** Milliseconds after which nobody may be told to be connected to a controller that says nothing. */
const BOUND_MS = 90_000;
/** Milliseconds that one question to an agent may take beside it. */
const SLACK_MS = 5_000;

/** Every status of a node while a test runs; a test that is connected but stale is found by looking all the time. */
function watched(node: SiteNode) {
  let heardAt = performance.now();
  return async (): Promise<AgentStatus> => {
    const status = await until(`${node.name} answers`, () => node.status());
    const silence = Number(status.controllerSilenceMs ?? 0n);
    heardAt = Math.max(heardAt, performance.now() - silence);
    if (status.controller === ControllerState.CONNECTED) {
      const quiet = performance.now() - heardAt;
      assert.ok(
        quiet <= BOUND_MS + SLACK_MS,
        `${node.name} is told connected after ${Math.round(quiet)} ms of silence`,
      );
      assert.notEqual(status.headAgeMs, undefined, "connected, and nothing says how old the map is");
    }
    return status;
  };
}

describe("a controller that answers no more, over connections that stay open", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({ store: "pglite", workers: 1, provokes: [...CONTROLLER_GONE, ...WORKER_ASLEEP] });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  const isLost = ({ controller }: AgentStatus) => controller === ControllerState.UNREACHABLE;
  const isWell = ({ controller, health }: AgentStatus) =>
    controller === ControllerState.CONNECTED && health === Health.HEALTHY;
  const reaches = (what: string, look: () => Promise<AgentStatus>, wanted: (status: AgentStatus) => boolean) =>
    until(
      what,
      async () => {
        const status = await look();
        return wanted(status) ? status : undefined;
      },
      BOUND_MS + SLACK_MS,
    );

  it("is noticed by every node when its process hangs, and by one when its link swallows everything", async () => {
    const { control, lab, network, a, b } = site;
    const [lookA, lookB] = [watched(a), watched(b)];
    const before = await reaches("hosta is well", lookA, isWell);
    await reaches("hostb is well", lookB, isWell);

    await lab.exec("router", ["ip", "route", "add", "blackhole", `${network.hostAddresses.hosta}/32`]);
    await lab.exec("router", ["ip", "route", "flush", "cache"]);
    const alone = await reaches("hosta is lost", lookA, isLost);
    assert.notEqual(alone.controllerError, "");
    assert.notEqual(alone.health, Health.HEALTHY);
    assert.ok((alone.headAgeMs ?? 0n) > (before.headAgeMs ?? 0n), "the map grew older");
    assert.ok(isWell(await lookB()), "hostb has nothing to do with it");

    control.workers[0]?.signal("SIGSTOP");
    try {
      const lost = await reaches("hostb is lost", lookB, isLost);
      assert.ok(lost.degraded.includes("controller") || lost.health === Health.ISOLATED, lost.healthReason);
      assert.ok(isLost(await lookA()));
    } finally {
      control.workers[0]?.signal("SIGCONT");
      await lab.exec("router", ["ip", "route", "del", "blackhole", `${network.hostAddresses.hosta}/32`]);
    }
    const back = await Promise.all([
      reaches("hosta is well again", lookA, isWell),
      reaches("hostb is well again", lookB, isWell),
    ]);
    for (const status of back) assert.deepEqual([status.degraded, status.healthReason], [[], ""]);
    assert.ok((await a.ping("hostb")) > 0);
  });
});
