import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { ping, type Site, startSite, tcp, until } from "./site/index.ts";
import { openStream } from "./site/stream.ts";

/** Long enough for several handshake attempts, had there been any. */
const QUIET_MS = 3_000;

describe("policy on the wire", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({ store: "pglite", workers: 1, provokes: [] });
  });
  after(() => site?.[Symbol.asyncDispose]());

  it("sends nothing to a peer without a rule, not even a handshake", async () => {
    const { lab, network, tenant, a, b } = site;
    await a.join(await tenant.newJoinString());
    await b.join(await tenant.newJoinString());
    const address = await b.address();
    await until("hosta has its map", async () => ((await a.status())?.engine?.map?.revision ?? 0n) > 0n);
    const capture = await lab.capture("router", "hosta0");
    assert.equal(await a.ping(address, 3, 300), 0);
    await lab.exec(a.name, ["timeout", "1", "bash", "-c", `exec 3<>/dev/tcp/${address}/9`]);
    await delay(QUIET_MS);
    const { hosta, hostb } = network.hostAddresses;
    const between = (await capture.stop()).filter(({ src, dst }) => src === hosta && dst === hostb);
    assert.deepEqual(between, []);
    assert.equal(await a.peer("hostb"), undefined, "and it does not even know the peer");
  });

  it("acts on both nodes when a rule comes", async () => {
    await site.tenant.apply(ping, tcp);
    await until("hosta pings hostb", async () => (await site.a.ping("hostb")) > 0);
    await until("hostb pings hosta", async () => (await site.b.ping("hosta")) > 0);
  });

  it("cuts a flow that a rule had allowed when the rule goes", async () => {
    const { lab, a, b, folder, tenant } = site;
    await using stream = await openStream(lab, a, b, folder);
    await stream.flows();
    const dropped = await a.counter("tx_dropped_filter");
    await tenant.apply(ping);
    await until("hosta drops what the rule allowed", async () => (await a.counter("tx_dropped_filter")) > dropped);
    const stood = await stream.count();
    await delay(QUIET_MS);
    assert.equal(await stream.count(), stood, "nothing more goes through");
    assert.ok((await a.ping("hostb")) > 0, "what is still allowed goes on");
    await tenant.apply();
    await until("hosta forgets hostb", async () => (await a.peer("hostb")) === undefined);
    assert.equal(await a.ping(await b.address(), 2, 300), 0);
  });
});
