import assert from "node:assert/strict";
import { AgentState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { ApiKeyService, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { ErrorDetailSchema, Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { CvlanService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import { joinBoth, ping, type Site, startSite, until } from "./site/index.ts";

/** Reason of the refusal; empty when the call is let in. */
async function reasonOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "";
  } catch (error) {
    return ConnectError.from(error).findDetails(ErrorDetailSchema)[0]?.reason ?? String(error);
  }
}

describe("the life of a tenant", function () {
  this.timeout(300_000);
  let site: Site;
  let tenants: Client<typeof TenantService>;
  /** Whether a key of the tenant is let in, by worker. */
  const keyAt: (() => Promise<string>)[] = [];
  const closing = new DisposableStack();
  before(async () => {
    site = await startSite({
      store: "postgres",
      workers: 2,
      provokes: [/controller unreachable/, /this node was revoked/, /certificate/],
    });
    tenants = createClient(TenantService, site.api);
    await site.tenant.apply(ping);
    await joinBoth(site);
    const { tenantId } = site.tenant;
    const scope = { permissions: [Permission.NODE_READ] };
    const { secret } = await createClient(ApiKeyService, site.api).createApiKey({ tenantId, name: "k", scope });
    for (const worker of site.control.workers.keys()) {
      const connection = site.control.connectToWorker(worker, { bearer: secret });
      closing.defer(() => connection.close());
      keyAt.push(() => reasonOf(createClient(NodeService, connection).listNodes({ tenantId })));
    }
  });
  after(async () => {
    closing.dispose();
    await site?.[Symbol.asyncDispose]();
  });

  const setStatus = (status: Status) => tenants.updateTenant({ tenantId: site.tenant.tenantId, status });
  const keys = () => Promise.all(keyAt.map((call) => call()));
  const problemsOf = async (node: Site["a"]) => ((await node.status())?.problems ?? []).map(({ part }) => part);
  const peersOf = async (node: Site["a"]) => (await node.status())?.engine?.peers.length;
  const bothHave = (peers: number) => async () =>
    (await peersOf(site.a)) === peers && (await peersOf(site.b)) === peers;

  it("suspended: no ping, no key at any worker, and the nodes say why; resumed: all as it was", async () => {
    const { a, b } = site;
    const [addressA, addressB] = [await a.address(), await b.address()];
    await until("a ping before", async () => (await a.ping(addressB)) === 1);
    assert.deepEqual(await keys(), ["", ""]);

    await setStatus(Status.SUSPENDED);
    await until("keys are refused", async () => (await keys()).every((reason) => reason === "TENANT_SUSPENDED"));
    await until("neither has a peer", bothHave(0));
    assert.deepEqual([await a.ping(addressB, 2, 500), await b.ping(addressA, 2, 500)], [0, 0]);
    await until("both say why", async () =>
      (await Promise.all([a, b].map(problemsOf))).every((parts) => parts.includes("tenant")),
    );

    // A node that starts anew meanwhile finds the same, by what it kept and by what it is told.
    await b.agent.end("SIGTERM");
    await b.killEngine();
    await b.startAgent();
    await b.engineIsUp();
    await until("it is told", async () => (await problemsOf(b)).includes("tenant"));
    assert.equal(await b.ping(addressA, 2, 500), 0);

    await setStatus(Status.ACTIVE);
    await until("keys are good", async () => (await keys()).every((reason) => reason === ""));
    await until("they have each other", bothHave(1));
    await until("a ping after", async () => (await a.ping(addressB)) === 1);
    assert.deepEqual([await a.address(), await b.address()], [addressA, addressB], "nobody joined again");
    await until("nothing is wrong", async () => !(await problemsOf(b)).includes("tenant"));
  });

  it("deleted: refused for good, memberships and networks ended, the name free", async () => {
    const { a, b } = site;
    const { tenantId } = site.tenant;
    const addressB = await b.address();
    assert.equal(await reasonOf(tenants.deleteTenant({ tenantId })), "TENANT_NOT_SUSPENDED");
    await setStatus(Status.SUSPENDED);
    await until("neither has a peer", bothHave(0));
    const { tenant } = await tenants.deleteTenant({ tenantId });
    assert.equal(tenant?.status, Status.DELETED);

    await until("keys are unknown", async () => (await keys()).every((reason) => reason === "CREDENTIAL_REFUSED"));
    await until("both know", async () => {
      const states = await Promise.all([a, b].map(async (node) => (await node.status())?.state));
      return states.every((state) => state === AgentState.REVOKED);
    });
    assert.equal(await a.ping(addressB, 2, 500), 0);
    const cvlans = createClient(CvlanService, site.api);
    await until("nothing is left", async () => (await cvlans.listCvlans({ tenantId })).cvlans.length === 0);
    assert.equal(await reasonOf(setStatus(Status.ACTIVE)), "TENANT_NOT_FOUND");
    const { tenant: successor } = await tenants.createTenant({ name: tenant.name });
    assert.notEqual(successor?.id, tenantId);
  });
});
