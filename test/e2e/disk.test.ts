import assert from "node:assert/strict";
import { join } from "node:path";
import { ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { EnrollmentService, GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { isId } from "@cloudvlan/kit/ids";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { joinBoth, ping, type Site, startSite, tcp, until } from "./site/index.ts";
import { CONTROLLER_GONE } from "./site/loud.ts";
import { mountSmallDisk, type SmallDisk } from "./site/small-disk.ts";
import { openStream } from "./site/stream.ts";
import { auditOf } from "./storm/audit.ts";

/** Room for a node with a small map. */
const NODE_MEGABYTES = 1;
/** Room for the embedded database, its log and the reserve below which it only reads. */
const STORE_MEGABYTES = 160;

describe("a full disk under a node", function () {
  this.timeout(300_000);
  let site: Site;
  let disk: SmallDisk;
  const revision = async (): Promise<bigint> => (await site.a.status())?.engine?.map?.revision ?? 0n;
  const mapProblem = async () => (await site.a.status())?.problems.find(({ part }) => part === "map");
  before(async () => {
    site = await startSite({
      store: "pglite",
      workers: 1,
      provokes: [/"the engine does not take the map"/, /"map step refused".*No space left on device/],
      prepare: async (folder) => (disk = await mountSmallDisk(join(folder, "hosta"), NODE_MEGABYTES)),
    });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  it("is told in its status, and the former map stays in force", async () => {
    const { tenant, a, b } = site;
    const former = await revision();
    await disk.fill();
    await tenant.apply(ping, tcp);
    const problem = await until("hosta says what is wrong", mapProblem);
    assert.match(problem.message, /STORAGE.*No space left on device/);
    assert.match(problem.remedy, /free space/);
    await until("hostb has the new policy", async () => (await b.status())?.engine?.map?.revision !== former);
    assert.equal(await revision(), former);
    assert.equal(await a.ping("hostb", 5), 5);
    assert.equal(await b.ping("hosta", 5), 5);
  });

  it("does not keep it from coming up again", async () => {
    const { a } = site;
    const former = await revision();
    await a.agent.end("SIGKILL");
    await a.killEngine();
    await a.startAgent();
    await until("hosta pings hostb", async () => (await a.ping("hostb")) > 0);
    assert.equal(await revision(), former);
    await until("hosta says again what is wrong", mapProblem);
  });

  it("is over once there is space", async () => {
    const { lab, a, b, folder } = site;
    const former = await revision();
    await disk.free();
    await until("hosta has the new policy", async () => (await revision()) > former);
    await until("nothing is wrong", async () => (await a.status())?.problems.length === 0);
    await using stream = await openStream(lab, a, b, folder);
    await stream.flows();
  });
});

describe("a full disk under the embedded database", function () {
  this.timeout(300_000);
  let site: Site;
  let disk: SmallDisk;
  before(async () => {
    site = await startSite({
      store: "pglite",
      workers: 1,
      // A job that writes while the disk is full fails as the calls do.
      provokes: [...CONTROLLER_GONE, /the disk of the database is full; nothing was changed.*"job failed"/],
      prepare: async (folder) => (disk = await mountSmallDisk(join(folder, "worker-0"), STORE_MEGABYTES)),
    });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  /** Writes of every service that a person can make. */
  function writes(): readonly (readonly [what: string, call: () => Promise<unknown>])[] {
    const { api, tenant } = site;
    const { tenantId, cvlanId } = tenant;
    return [
      ["a group", () => createClient(GroupService, api).createGroup({ tenantId, cvlanId, name: "late" })],
      ["a join token", () => createClient(EnrollmentService, api).createJoinToken({ tenantId, cvlanId })],
      ["the policy", () => tenant.apply(ping, tcp)],
      [
        "a node",
        async () => {
          const nodeId = await tenant.nodeId("hosta");
          await createClient(NodeService, api).updateNode({ tenantId, nodeId, tags: { tags: { late: "yes" } } });
        },
      ],
    ];
  }

  /** All that the writes could have changed. */
  async function state() {
    const { api, tenant } = site;
    const { tenantId, cvlanId } = tenant;
    const { groups } = await createClient(GroupService, api).listGroups({ tenantId, cvlanId });
    const { tokens } = await createClient(EnrollmentService, api).listJoinTokens({ tenantId, cvlanId });
    const { policy } = await createClient(PolicyService, api).getPolicy({ tenantId, cvlanId });
    const { nodes } = await createClient(NodeService, api).listNodes({ tenantId, cvlanId });
    return {
      groups: groups.map(({ group }) => group?.name),
      tokens: tokens.length,
      policy: policy?.version,
      tags: nodes.map(({ name, tags }) => [name, tags]),
    };
  }

  it("refuses writes with a reason and a remedy, and goes on to read and to serve nodes", async () => {
    const { control, a, b } = site;
    const former = await state();
    await disk.fill();
    for (const [what, call] of writes()) {
      await assert.rejects(call(), (error) => {
        const told = ConnectError.from(error);
        const [detail] = told.findDetails(ErrorDetailSchema);
        assert.deepEqual([told.code, detail?.reason], [Code.Unavailable, "STORAGE_FULL"], `${what}: ${told.message}`);
        assert.match(detail?.remedy ?? "", /free space/);
        return true;
      });
    }
    assert.deepEqual(await state(), former, "nothing is half done");
    assert.ok(control.workers[0]?.running);
    for (const node of [a, b]) assert.equal((await node.status())?.controller, ControllerState.CONNECTED);
    assert.equal(await a.ping("hostb", 5), 5);
  });

  it("takes the same writes once there is space", async () => {
    const { lab, a, b, folder } = site;
    const former = await state();
    await disk.free();
    for (const [, call] of writes()) await call();
    const { groups, tokens, policy, tags } = await state();
    assert.deepEqual(groups, ["late"]);
    assert.equal(tokens, former.tokens + 1);
    assert.equal(policy, (former.policy ?? 0n) + 1n);
    assert.deepEqual(tags, [
      ["hosta", { late: "yes" }],
      ["hostb", {}],
    ]);
    await using stream = await openStream(lab, a, b, folder);
    await stream.flows();
  });

  it("leaves no gap in the audit logs", async () => {
    const { control, tenant } = site;
    assert.ok(isId("tenant", tenant.tenantId));
    await control.workers[0]?.end("SIGTERM");
    for (const [service, { sequences }] of await auditOf(control.store, tenant.tenantId, ["registry", "policy"])) {
      const counted = Array.from({ length: sequences.length }, (_, index) => index + 1);
      assert.deepEqual(sequences, counted, service);
    }
  });
});
