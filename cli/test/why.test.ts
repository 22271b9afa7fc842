import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AgentService, type ExplainRequest } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { ApiKeyService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { DiagnosisService, type WhyRequest } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { CvlanService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { cvlan, type Installation, installation, localSocket } from "./installation.ts";

const TENANT = "tenant_01890000-0000-7000-8000-000000000001";
const CVLAN = "cvlan_01890000-0000-7000-8000-000000000002";
const HERE = "node_01890000-0000-7000-8000-000000000003";
const DB1 = "node_01890000-0000-7000-8000-000000000004";

describe("cvlan why, between controller and machine", function () {
  this.timeout(60_000);
  let site: Installation;
  let server: AsyncDisposable;
  let asked: WhyRequest[] = [];
  let explained: ExplainRequest[] = [];
  /** Whether this machine's engine has the rule. */
  let hasRule = true;

  before(async () => {
    site = await installation((router) => {
      router.service(ApiKeyService, { whoAmI: () => ({ tenantId: TENANT, tenantName: "acme" }) });
      router.service(CvlanService, { listCvlans: () => ({ cvlans: [{ id: CVLAN, tenantId: TENANT, name: "main" }] }) });
      router.service(DiagnosisService, {
        why: (request) => {
          asked.push(request);
          if (request.destination === "ghost") {
            throw new Refusal("not_found", "NODE_NOT_FOUND", "there is no such node", {
              field: "destination",
            }).toConnectError();
          }
          const rule = { ruleName: "web", policyFile: "office.yaml", policyLine: 12 };
          const hops = [
            { name: "map", ok: true, detail: "they see each other" },
            { name: "rule", ok: true, detail: "rule web allows it", ...rule },
            { name: "source_filter", ok: true, detail: "rule web allows it", ruleName: "web" },
          ];
          const [sourceId, destinationId] = request.source === "db1" ? [DB1, HERE] : [HERE, DB1];
          return {
            answers: [{ forwarded: true, hops }],
            sourceId: request.source === "db2" ? DB1 : sourceId,
            destinationId: request.source === "db2" ? DB1 : destinationId,
            sourceAddress: "100.64.0.1",
            destinationAddress: "100.64.0.2",
          };
        },
      });
    });
    await writeFile(join(site.folder, "key"), `cvk_x_${"s".repeat(43)}\n`, { mode: 0o600 });
    server = await localSocket(site.folder, (router) =>
      router.service(AgentService, {
        getStatus: () => ({ status: { name: "web1", nodeId: HERE, tenantId: TENANT, cvlanId: CVLAN } }),
        explain: (request) => {
          explained.push(request);
          const filter = hasRule
            ? { name: "filter", ok: true, detail: "rule web allows it", ruleName: "web" }
            : { name: "filter", ok: false, detail: "no rule allows it", remedy: "add a rule" };
          const hops = [{ name: "map", ok: true, detail: "web1 at epoch 1 revision 9" }, filter];
          return { explanation: { forwarded: hasRule, hops } };
        },
      }),
    );
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await site[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    [asked, explained, hasRule] = [[], [], true];
  });

  const way = () => ["--controller", site.url, "--ca", site.ca, "--key-file", join(site.folder, "key")];
  const run = (...argv: string[]) => cvlan(["--state", site.folder, ...way(), ...argv]);

  it("asks the controller about any two nodes and shows file and line of the rule", async () => {
    const { code, out } = await cvlan(["--state", "/nonexistent", ...way(), "why", "db2", "db1:443"]);
    assert.equal(code, 0);
    assert.match(out, /rule +ok +rule web allows it \(office\.yaml:12\)\n/);
    assert.match(out, /source filter +ok/);
    assert.ok(out.endsWith("a packet to db1:443 is forwarded\n"));
    const [{ tenantId, cvlanId, source, destination, probes } = assert.fail()] = asked;
    assert.deepEqual([tenantId, cvlanId, source, destination], [TENANT, CVLAN, "db2", "db1"]);
    assert.deepEqual([probes[0]?.protocol, probes[0]?.port], [6, 443]);
    await run("why", "db2", "db1:443");
    assert.equal(explained.length, 0, "this machine is no end of it");
  });

  it("asks the engine too when this machine is an end, in the right direction", async () => {
    const sent = await run("why", "web1", "db1:443");
    assert.match(
      sent.out,
      /what this machine's engine holds:\nHOP[\s\S]*map: none yet\n\na packet to db1:443 is forwarded\n$/,
    );
    await run("why", "db1", "web1:53", "--protocol", "udp");
    await run("why", "db1:443");
    assert.equal(asked[2]?.source, HERE);
    assert.deepEqual(
      explained.map(({ source, destination, protocol, port }) => [source, destination, protocol, port]),
      [
        ["", "100.64.0.2", 6, 443],
        ["100.64.0.1", "100.64.0.2", 17, 53],
        ["", "db1", 6, 443],
      ],
    );
  });

  it("points out where the two differ", async () => {
    hasRule = false;
    const { code, out, err } = await run("why", "db1:443");
    assert.equal(code, 1);
    assert.match(
      out,
      /\nDIFFERS: source_filter: the controller gives "rule web allows it", this machine has "no rule allows it"\n/,
    );
    assert.match(err, /stopped at: filter\n {2}what next: add a rule/);
    const json = JSON.parse((await run("--json", "why", "db1:443")).out) as Record<string, unknown>;
    assert.equal(json["forwarded"], false);
    assert.equal((json["differences"] as string[]).length, 1);
  });

  it("goes by the engine alone when the controller cannot say, and never the other way round", async () => {
    const away = ["--controller", "https://localhost:1", "--ca", site.ca, "--key-file", join(site.folder, "key")];
    const local = await cvlan(["--state", site.folder, ...away, "why", "db1:443"]);
    assert.equal(local.code, 0);
    assert.match(local.out, /^the controller cannot say: /);
    const remote = await run("why", "web1", "ghost");
    assert.equal(remote.code, 3);
    assert.match(remote.err, /there is no such node/);
  });
});
