import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { joinBoth, ping, type Site, startSite, until } from "./site/index.ts";

const LIFETIME_SECONDS = 10;

describe("a CA that is down for three lifetimes of a node's certificate", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({
      store: "pglite",
      workers: 1,
      services: { auth: { node_certificate_ttl_seconds: LIFETIME_SECONDS } },
      provokes: [/the certificate authority .* does not answer.*"certificate not renewed yet"/],
    });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  it("lets all nodes return without a token afterwards", async () => {
    const { control, a, b } = site;
    control.ca.kill();
    await delay(3 * LIFETIME_SECONDS * 1_000);
    const now = Date.now() / 1_000;
    for (const node of [a, b]) {
      const until = Number((await node.status())?.certificateNotAfter?.seconds ?? 0n);
      assert.ok(until < now, `${node.name}'s certificate is past its validity`);
    }
    assert.ok((await a.ping("hostb")) > 0, "the data plane does not care");

    await control.ca.start();
    for (const node of [a, b]) {
      await until(`${node.name} has a new certificate and its stream`, async () => {
        const status = await node.status();
        const valid = Number(status?.certificateNotAfter?.seconds ?? 0n) > Date.now() / 1_000;
        return valid && status?.controller === ControllerState.CONNECTED;
      });
    }
  });
});
