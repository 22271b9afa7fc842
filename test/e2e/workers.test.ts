import assert from "node:assert/strict";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { joinBoth, ping, type Site, startSite, tcp, until } from "./site/index.ts";

describe("two workers over one PostgreSQL behind a balancer", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({ store: "postgres", workers: 2, services: { netmap: { head_seconds: 2 } } });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

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
      assert.equal(await answered, PINGS);
      await control.startWorker(victim);
    });
  }
});
