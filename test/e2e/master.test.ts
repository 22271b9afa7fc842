import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { PolicyTargetSchema } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { SettingsLayer } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import { NodeService, SettingsService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { beginMasterRotation } from "@cloudvlan/kit/keys";
import { run } from "@cloudvlan/test/lab";
import { createClient } from "@connectrpc/connect";
import { ping, type Site, startSite, tcp, until } from "./site/index.ts";
import { CONTROLLER_GONE } from "./site/loud.ts";
import { openStream } from "./site/stream.ts";

const ADMIN = fileURLToPath(new URL("../../services/all/admin.ts", import.meta.url));
const EX_TEMPFAIL = 75;

for (const store of ["pglite", "postgres"] as const) {
  describe(`the master key is replaced on ${store}`, function () {
    this.timeout(300_000);
    let site: Site;
    let older: string;
    const database = create(PolicyTargetSchema, { target: { case: "tag", value: "role=database" } });
    const tags = { tags: { role: "database" } };

    before(async () => {
      site = await startSite({ store, workers: 1, provokes: CONTROLLER_GONE });
      await site.tenant.apply(ping, tcp);
      await site.a.join(await site.tenant.newJoinString());
      older = await site.tenant.newJoinString();
      const settings = createClient(SettingsService, site.api);
      for (const layer of layers()) await settings.updateSettings({ ...layer, settings: { mapTtlSeconds: 86_400 } });
    });
    after(() => site?.[Symbol.asyncDispose]());

    const layers = () => {
      const { tenantId, cvlanId } = site.tenant;
      return [
        { layer: SettingsLayer.CLUSTER },
        { layer: SettingsLayer.TENANT, tenantId },
        { layer: SettingsLayer.CVLAN, tenantId, cvlanId },
      ];
    };
    const rotate = () =>
      run([process.execPath, ADMIN, "rotate-master", "--config", join(site.folder, "worker-0.yaml"), "--json"]);
    const master = async () => join(await dataFolder(), "keys", "master");
    async function dataFolder(): Promise<string> {
      const config = await readFile(join(site.folder, "worker-0.yaml"), "utf8");
      const folder = /"?data"?: *"?([^"\s,]+)/.exec(config)?.[1];
      assert.ok(folder);
      return folder;
    }
    async function whileStopped(work: () => Promise<void>): Promise<void> {
      await site.control.workers[0]?.end("SIGTERM");
      await work();
      await site.control.startWorker(0);
    }
    const idOf = async () => (await site.a.status())?.nodeId ?? "";

    it("not while a worker runs", async () => {
      const { code, stderr } = await rotate();
      assert.equal(code, EX_TEMPFAIL, stderr);
      assert.match(stderr, store === "postgres" ? /WORKERS_CONNECTED/ : /STORE_LOCKED/);
      assert.equal((await readFile(await master())).length, 32, "the key is the one of before");
    });

    it("and when it was interrupted at its beginning, everything starts under both", async () => {
      const id = await idOf();
      await whileStopped(async () => void (await beginMasterRotation(await master())));
      assert.equal((await readFile(await master(), "utf8")).match(/^master /gm)?.length, 2);
      const api = await site.control.connect();
      const nodes = createClient(NodeService, api);
      const { tenantId } = site.tenant;
      await nodes.updateNode({ tenantId, nodeId: id, tags });
      await createClient(PolicyService, api).applyPolicy({
        tenantId,
        cvlanId: site.tenant.cvlanId,
        document: { rules: [tcp, { ...ping, destinations: [database] }] },
      });
      api.close();
    });

    it("and nodes, rows and join strings of before stay good, without a broken stream or another enrolment", async () => {
      const { a, b, lab, folder } = site;
      await b.join(older);
      await until("hostb pings hosta by the rule for its tag", async () => (await b.ping("hosta")) > 0);
      assert.equal(await a.ping("hostb"), 0, "hostb does not have the tag");
      const ids = [await idOf(), (await b.status())?.nodeId];
      await using stream = await openStream(lab, a, b, folder);
      await stream.flows();
      await whileStopped(async () => {
        const former = await readFile(await master(), "utf8");
        const { code, stdout, stderr } = await rotate();
        assert.equal(code, 0, stderr);
        assert.match(stdout, /rows are under a new master key, and the former one is gone\. /);
        const now = await readFile(await master(), "utf8");
        assert.deepEqual(now.match(/^master .*/gm), former.match(/^master .*/gm)?.slice(0, 1));
      });
      await stream.flows(50);

      const api = await site.control.connect();
      const { tenantId, cvlanId } = site.tenant;
      const nodes = createClient(NodeService, api);
      assert.equal((await nodes.listNodes({ tenantId, cvlanId })).nodes.length, 2);
      const settings = createClient(SettingsService, api);
      for (const layer of layers())
        assert.equal((await settings.getSettings(layer)).own?.settings?.mapTtlSeconds, 86_400);
      const log = (await site.control.workers[0]?.output()) ?? "";
      assert.doesNotMatch(log, /do not verify|does not carry this service's seal/);
      const { policy } = await createClient(PolicyService, api).getPolicy({ tenantId, cvlanId });
      assert.equal(policy?.document?.rules.length, 2);
      // The rule was made under the first key, the record is made under the last: they name the tag alike.
      await nodes.updateNode({ tenantId, nodeId: ids[1] ?? "", tags });
      api.close();
      await until("hosta pings hostb by the rule for its tag", async () => (await a.ping("hostb")) > 0);
      assert.deepEqual([await idOf(), (await b.status())?.nodeId], ids);
      assert.deepEqual((await a.status())?.problems, []);
    });
  });
}
