import assert from "node:assert/strict";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { PresenceService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { createClient } from "@connectrpc/connect";
import { joinBoth, ping, type Site, startSite, tcp, until } from "./site/index.ts";
import { CONTROLLER_GONE } from "./site/loud.ts";

describe("two workers over one PostgreSQL behind a balancer", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({
      store: "postgres",
      workers: 2,
      services: { netmap: { head_seconds: 2, heartbeat_seconds: 1 } },
      provokes: CONTROLLER_GONE,
    });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  const shows = (name: string, wanted: boolean) =>
    until(`${name} is shown ${wanted ? "online" : "offline"}`, async () => {
      const { tenant, api } = site;
      const { tenantId, cvlanId } = tenant;
      const request = { tenantId, cvlanId, nodeIds: [await tenant.nodeId(name)] };
      const { nodes } = await createClient(PresenceService, api).listPresence(request);
      return nodes[0]?.online === wanted;
    });

  for (const victim of [0, 1]) {
    it(`lose nothing and no ping when worker ${victim} is killed`, async () => {
      const { control, tenant, a, b } = site;
      const PINGS = 100;
      const answered = a.ping("hostb", PINGS);
      await control.workers[victim]?.end("SIGKILL");
      for (const node of [a, b]) {
        await until(`${node.name} is connected again`, async () => {
          const status = await node.status();
          return status?.controller === ControllerState.CONNECTED && status.engine?.map?.stale === false;
        });
      }
      // What is written now reaches both nodes through the other worker.
      const before = (await a.status())?.engine?.map?.revision ?? 0n;
      await (victim === 0 ? tenant.apply(ping, tcp) : tenant.apply(ping));
      for (const node of [a, b]) {
        await until(
          `${node.name} has the change`,
          async () => ((await node.status())?.engine?.map?.revision ?? 0n) > before,
        );
      }
      for (const node of [a, b]) await shows(node.name, true);
      assert.equal(await answered, PINGS);
      await control.startWorker(victim);
    });
  }

  it("show a node offline that is not back after its worker was killed, and online once it is", async () => {
    const { control, a } = site;
    await shows(a.name, true);
    a.agent.signal("SIGSTOP");
    try {
      // Whichever has its stream.
      for (const [index, worker] of control.workers.entries()) {
        await worker.end("SIGKILL");
        await control.startWorker(index);
      }
      await shows(a.name, false);
    } finally {
      a.agent.signal("SIGCONT");
    }
    await shows(a.name, true);
  });
});
