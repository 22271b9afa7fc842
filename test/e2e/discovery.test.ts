import assert from "node:assert/strict";
import { join } from "node:path";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { ApiKeyService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { DiscoveryServerService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { ConnectError, createClient } from "@connectrpc/connect";
import { CONTROLLER_GONE, ENGINE_KILLED } from "./site/loud.ts";
import { joinBoth, ping, type Site, type SiteNode, startSite, until } from "./site/index.ts";

describe("discovery servers of the platform", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({ store: "pglite", workers: 1, provokes: [...CONTROLLER_GONE, ...ENGINE_KILLED] });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  /** What an operator says, on the first machine. */
  const operator = (...args: readonly string[]) => {
    const { control, folder } = site;
    const way = ["--controller", control.url, "--ca-sha256", control.caSha256];
    return site.a.cvlan([...args, ...way, "--key-file", join(folder, "platform-owner.key")]);
  };
  const serversOf = async (node: SiteNode) => (await node.status())?.engine?.relayMapServers;
  const bothKnow = async (servers: number) => {
    for (const node of [site.a, site.b])
      await until(`${node.name} knows ${servers}`, async () => (await serversOf(node)) === servers);
  };

  it("reach both nodes' maps within seconds of an operator's command, and change nothing else there", async () => {
    const { a, b } = site;
    assert.deepEqual([await serversOf(a), await serversOf(b)], [0, 0]);
    const revision = (await a.status())?.engine?.map?.revision;
    await operator("region", "create", "eu-west");
    const endpoints = ["--endpoint", "192.0.2.1", "--endpoint", "[2001:db8::1]:3479"];
    await operator("discovery-server", "create", "stun-1", "--region", "eu-west", ...endpoints);
    await bothKnow(1);
    await operator("discovery-server", "create", "stun-2", "--region", "eu-west", "--endpoint", "10.71.1.1:3478");
    await bothKnow(2);
    assert.match(
      await operator("discovery-server", "list"),
      /stun-1 +eu-west +192\.0\.2\.1:3478, \[2001:db8::1\]:3479 .*\nstun-2 +eu-west +10\.71\.1\.1:3478 /,
    );
    assert.equal((await a.status())?.engine?.map?.revision, revision);
    assert.ok((await a.ping(b.name)) > 0);
    await assert.rejects(operator("region", "delete", "eu-west"), /a discovery server stands in the region/);
  });

  it("are told to no tenant by the API", async () => {
    const { tenantId } = site.tenant;
    const scope = { permissions: [Permission.DISCOVERY_SERVER_READ, Permission.DISCOVERY_SERVER_WRITE] };
    const { secret } = await createClient(ApiKeyService, site.api).createApiKey({ tenantId, name: "curious", scope });
    const connection = site.control.connectToWorker(0, { bearer: secret });
    try {
      const refused = await createClient(DiscoveryServerService, connection)
        .listDiscoveryServers({})
        .then(
          () => undefined,
          (error: unknown) => ConnectError.from(error),
        );
      assert.equal(refused?.findDetails(ErrorDetailSchema)[0]?.reason, "PLATFORM_ONLY");
    } finally {
      connection.close();
    }
  });

  it("are known by engines that start without a controller, and gone from all once an operator removed them", async () => {
    const { a, b, control } = site;
    await control.workers[0]?.end("SIGKILL");
    for (const node of [a, b]) {
      await node.killEngine();
      await until(`${node.name} has its map again`, async () => (await serversOf(node)) === 2);
      assert.notEqual((await node.status())?.controller, ControllerState.CONNECTED);
    }
    await control.startWorker(0);
    for (const node of [a, b])
      await until(
        `${node.name} is connected`,
        async () => (await node.status())?.controller === ControllerState.CONNECTED,
      );
    await operator("discovery-server", "delete", "stun-1");
    await bothKnow(1);
    await operator("discovery-server", "delete", "stun-2");
    await bothKnow(0);
    await operator("region", "delete", "eu-west");
    await a.killEngine();
    await until("hosta pings hostb", async () => (await a.ping(b.name, 1, 500)) > 0);
    assert.equal(await serversOf(a), 0);
  });
});
