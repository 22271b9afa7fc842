import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AgentState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { certificatesOf } from "@cloudvlan/kit/pki";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { joinBoth, ping, type Site, type SiteNode, startSite, until } from "./site/index.ts";
import { NODE_REVOKED, WORKER_ASLEEP } from "./site/loud.ts";

/** How long a worker may go on without a word from auth. */
const LAG_SECONDS = 4;

describe("revoking a node", function () {
  this.timeout(300_000);
  let site: Site;
  before(async () => {
    site = await startSite({
      store: "postgres",
      workers: 2,
      settings: { denial_lag_seconds: LAG_SECONDS },
      provokes: [...NODE_REVOKED, ...WORKER_ASLEEP],
    });
    await site.tenant.apply(ping);
    await joinBoth(site);
  });
  after(() => site?.[Symbol.asyncDispose]());

  /** Calls one worker with the node's own certificate. */
  async function poll(node: SiteNode, worker: number): Promise<Code | undefined> {
    const certificate = certificatesOf(await readFile(join(node.state, "tls.pem"), "utf8"));
    const key = await readFile(join(node.state, "tls.key"), "utf8");
    const connection = site.control.connectToWorker(worker, { certificate, key });
    try {
      await createClient(NetmapService, connection).poll({}, { timeoutMs: 5_000 });
      return undefined;
    } catch (error) {
      return ConnectError.from(error).code;
    } finally {
      connection.close();
    }
  }

  it("cuts its stream, makes its peers drop it and every listener refuse it, also one that missed the word", async () => {
    const { control, tenant, a, b } = site;
    const [first, deaf] = control.workers;
    assert.ok(first && deaf);
    assert.deepEqual([await poll(b, 0), await poll(b, 1)], [undefined, undefined], "both workers serve it before");

    deaf.signal("SIGSTOP");
    try {
      // Through the first worker: the balancer would wait for the stopped one.
      const bearer = (await readFile(join(site.folder, "platform-owner.key"), "utf8")).trim();
      const api = control.connectToWorker(0, { bearer });
      const nodeId = (await b.status())?.nodeId ?? "";
      await createClient(NodeService, api).revokeNode({ tenantId: tenant.tenantId, nodeId });
      api.close();
      await until("the worker that was told refuses it", async () => (await poll(b, 0)) === Code.Unauthenticated);
      await delay(LAG_SECONDS * 1_000);
    } finally {
      deaf.signal("SIGCONT");
    }
    const answers: (Code | undefined)[] = [];
    await until("the worker that was not told refuses it for good", async () => {
      answers.push(await poll(b, 1));
      return answers.at(-1) === Code.Unauthenticated;
    });
    assert.ok(!answers.includes(undefined), `it never served the revoked node: ${answers.map(String).join(", ")}`);

    await until("hosta drops hostb", async () => (await a.peer("hostb")) === undefined);
    await until("hostb knows", async () => (await b.status())?.state === AgentState.REVOKED);
    assert.equal(await b.ping(await a.address(), 2, 500), 0);
  });
});
