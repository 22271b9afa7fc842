import assert from "node:assert/strict";
import { copyFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AgentState, ControllerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { EnrollmentService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { run } from "@cloudvlan/test/lab";
import { ConnectError, createClient } from "@connectrpc/connect";
import { joinBoth, ping, type Site, type SiteNode, startSite, tcp, until } from "./site/index.ts";
import { CONTROLLER_GONE, NODE_REVOKED } from "./site/loud.ts";
import { openStream } from "./site/stream.ts";

/** A node whose streams broke young polls, and takes itself for revoked after several refusals in a row. */
const REVOKED_CEILING_MS = 240_000;
const ADMIN = fileURLToPath(new URL("../../services/all/admin.ts", import.meta.url));

for (const store of ["pglite", "postgres"] as const) {
  describe(`yesterday's backup on ${store}`, function () {
    this.timeout(600_000);
    let site: Site;
    let backup: string;
    let spare: string;
    before(async () => {
      site = await startSite({ store, workers: 1, provokes: [...CONTROLLER_GONE, ...NODE_REVOKED] });
      await site.tenant.apply(ping, tcp);
      await joinBoth(site);
      backup = join(site.folder, "backup.age");
      await writeFile(join(site.folder, "passphrase"), "correct horse battery staple\n", { mode: 0o600 });
    });
    after(() => site?.[Symbol.asyncDispose]());

    /** Runs the administration program on the worker's configuration. */
    async function admin(...args: string[]): Promise<string> {
      const config = join(site.folder, "worker-0.yaml");
      const passphrase = join(site.folder, "passphrase");
      const [verb = "", ...more] = args;
      const argv = [process.execPath, ADMIN, verb, "--config", config, "--passphrase-file", passphrase, ...more];
      const { code, stdout, stderr } = await run(argv);
      assert.equal(code, 0, stderr);
      return stdout;
    }
    async function whileStopped(work: () => Promise<unknown>): Promise<void> {
      await site.control.workers[0]?.end("SIGTERM");
      await work();
      await site.control.startWorker(0);
    }
    /** Puts the backup in the place of all that happened since. */
    async function restore(): Promise<void> {
      await whileStopped(async () => {
        const { postgres } = site.control;
        if (postgres) await writeFile(join(site.folder, "database.url"), await postgres.server.newDatabase());
        assert.match(await admin("restore", "--from", backup), /rows of cluster_/);
      });
    }
    const epochOf = async (node: SiteNode) => (await node.status())?.engine?.map?.epoch ?? 0n;
    const isConnected = async (node: SiteNode) => (await node.status())?.controller === ControllerState.CONNECTED;

    it("is made, on PostgreSQL while the worker serves", async () => {
      spare = await site.tenant.newJoinString();
      const make = () => admin("backup", "--to", backup);
      if (store === "postgres") await make();
      else await whileStopped(make);
      await copyFile(backup, `${backup}.copy`);
    });

    it("is accepted by every node, with another epoch, nobody joins again and a stream never breaks", async () => {
      const { a, b, lab, folder } = site;
      const ids = [(await a.status())?.nodeId, (await b.status())?.nodeId];
      const epochs = [await epochOf(a), await epochOf(b)];
      // Nodes see what the backup knows nothing of.
      await site.tenant.apply(ping, tcp, { ...ping, name: "later" });
      await until("both know the later policy", async () =>
        (await Promise.all([a, b].map(async (node) => (await node.status())?.engine?.map?.revision ?? 0n))).every(
          (revision) => revision > 2n,
        ),
      );
      await using stream = await openStream(lab, a, b, folder);
      await stream.flows();
      await restore();
      for (const [index, node] of [a, b].entries()) {
        await until(
          `${node.name} has the map of the new epoch`,
          async () => (await epochOf(node)) > (epochs[index] ?? 0n),
        );
        await until(`${node.name} is connected`, () => isConnected(node));
      }
      await stream.flows(50);
      assert.deepEqual([(await a.status())?.nodeId, (await b.status())?.nodeId], ids);
      assert.deepEqual((await a.status())?.problems, []);
      await until("a new node of the map is reached", async () => (await a.ping("hostb")) > 0);
    });

    it("knows no token any more that nobody had used", async () => {
      const api = await site.control.connect();
      const { tenantId, cvlanId } = site.tenant;
      const { tokens } = await createClient(EnrollmentService, api).listJoinTokens({ tenantId, cvlanId });
      api.close();
      assert.ok(spare.startsWith("cvlan1."));
      assert.equal(tokens.length, 2, "those that the two machines used");
    });

    it("keeps a node out that was deleted after it was made, and follows a second restore of the same backup", async () => {
      const { a, b, tenant } = site;
      const nodeId = (await b.status())?.nodeId ?? "";
      const api = await site.control.connect();
      await createClient(NodeService, api).revokeNode({ tenantId: tenant.tenantId, nodeId });
      api.close();
      await until("hosta dropped hostb", async () => (await a.peer("hostb")) === undefined);
      await until("hostb knows", async () => (await b.status())?.state === AgentState.REVOKED, REVOKED_CEILING_MS);
      const former = await epochOf(a);
      await restore();
      await until("hosta has the map of the third epoch", async () => (await epochOf(a)) > former);
      const again = await site.control.connect();
      await until("hostb is revoked in the restored database", async () => {
        const { node } = await createClient(NodeService, again).getNode({ tenantId: tenant.tenantId, nodeId });
        return node?.status === NodeStatus.REVOKED;
      });
      again.close();
      await until("hosta does not have hostb", async () => (await a.peer("hostb")) === undefined);
      assert.equal(await a.ping("hostb"), 0);
      assert.equal((await b.status())?.state, AgentState.REVOKED);
    });

    // What is told does not depend on the store.
    if (store === "pglite") {
      it("is told to a machine that joined after it was made, with what to do, which lets it in again", async () => {
        const { a, b, tenant } = site;
        const problem = async () => (await b.status())?.problems.find(({ part }) => part === "controller");
        /** What a machine whose node is no member any more is told to do, everywhere it may look. */
        const doAsTold = async (): Promise<void> => {
          assert.match((await problem())?.remedy ?? "", /remove the state folder.*new join string/);
          await assert.rejects(b.join(await tenant.newJoinString()), (error) => {
            const [detail] = ConnectError.from(error).findDetails(ErrorDetailSchema);
            assert.match(detail?.remedy ?? "", /remove the state folder.*new join string/);
            return true;
          });
          await b.agent.stop();
          await b.errand("--stop-engine");
          await rm(b.state, { recursive: true });
          await b.startAgent();
          await b.join(await tenant.newJoinString());
          await until("hosta pings hostb", async () => (await a.ping("hostb")) > 0);
        };
        await doAsTold();
        const formerly = (await b.status())?.nodeId;
        await restore();
        await until("hostb is told", async () => (await b.status())?.state === AgentState.REVOKED, REVOKED_CEILING_MS);
        assert.match((await problem())?.message ?? "", /joined after the backup that was restored/);
        assert.match(await b.cvlan(["status"]), /joined after the backup.*\n(.*\n)*.*remove the state folder/);
        await doAsTold();
        assert.notEqual((await b.status())?.nodeId, formerly);
      });
    }
  });
}
