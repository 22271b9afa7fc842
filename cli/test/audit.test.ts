import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { ApiKeyService, AuditService as AuthAudit, type ListAuditLogsRequest } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { ActorType } from "@cloudvlan/gen/entity/v1/audit_log_pb.js";
import { AuditService as NetmapAudit } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { AuditService as PolicyAudit } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { AuditService as RegistryAudit } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { cvlan, type Installation, installation } from "./installation.ts";

const TENANT = "tenant_01890000-0000-7000-8000-000000000001";
const KEY = `cvk_01890000-0000-7000-8000-000000000001_01890000-0000-7000-8000-000000000002_${"s".repeat(43)}`;
const START = Date.parse("2026-01-31T08:00:00Z");

type Asked = Pick<ListAuditLogsRequest, "tenantId" | "filter" | "pagination"> & { readonly service: string };

describe("cvlan audit", function () {
  this.timeout(60_000);
  let site: Installation;
  let asked: Asked[] = [];

  /** A log whose rows are at these seconds, three a page, with an empty page between. */
  function logOf(service: string, seconds: readonly number[]) {
    return {
      listAuditLogs: (request: Omit<Asked, "service">) => {
        asked.push({ ...request, service });
        const [at, gap] = (request.pagination?.pageToken || "0:").split(":");
        const from = Number(at);
        if (gap !== "gap" && from > 0) return { auditLogs: [], meta: { nextPageToken: `${from}:gap` } };
        const auditLogs = seconds.slice(from, from + 3).map((second, n) => ({
          sequence: BigInt(from + n + 1),
          tenantId: request.tenantId,
          occurredAt: timestampFromMs(START + second * 1000),
          actorType: ActorType.API_KEY,
          actor: "apikey:a",
          action: `/cloudvlan.${service}.v1.Service/Call`,
          objectId: second === 4 ? '=1+1,"x"' : "",
          outcome: "ok",
        }));
        return { auditLogs, meta: { nextPageToken: from + 3 < seconds.length ? `${from + 3}:` : "" } };
      },
    };
  }

  before(async () => {
    site = await installation((router) => {
      router.service(ApiKeyService, {
        whoAmI: () => ({ subject: "apikey:a", tenantId: TENANT, tenantName: "acme" }),
      });
      router.service(AuthAudit, logOf("auth", [1, 5, 9, 13, 17]));
      router.service(RegistryAudit, logOf("registry", [2, 3, 4, 6, 18, 19, 20]));
      router.service(PolicyAudit, logOf("policy", []));
      router.service(NetmapAudit, logOf("netmap", [0]));
    });
    await writeFile(join(site.folder, "key"), `${KEY}\n`, { mode: 0o600 });
  });
  after(() => site[Symbol.asyncDispose]());
  beforeEach(() => {
    asked = [];
  });

  const run = (...argv: string[]) =>
    cvlan([...argv, "--controller", site.url, "--ca", site.ca, "--key-file", join(site.folder, "key")]);

  it("merges the logs of all services by time", async () => {
    const { code, out, err } = await run("audit", "list", "--json", "--since", "2026-01-31T08:00:00Z");
    assert.equal(code, 0, err);
    const { auditLogs } = JSON.parse(out) as { auditLogs: { occurredAt: string; service: string }[] };
    assert.deepEqual(
      auditLogs.map(({ occurredAt }) => (Date.parse(occurredAt) - START) / 1000),
      [0, 1, 2, 3, 4, 5, 6, 9, 13, 17, 18, 19, 20],
    );
    assert.deepEqual(
      auditLogs.slice(0, 3).map(({ service }) => service),
      ["netmap", "auth", "registry"],
    );
    const text = await run("audit", "list");
    assert.equal(text.out.split("\n").length, 15);
    assert.match(text.out, /2026-01-31T08:00:01\.000Z +auth +apikey:a +\/cloudvlan\.auth\.v1\.Service\/Call +- +ok/);
  });

  it("asks for what is meant: one service, times, actor, action, the platform", async () => {
    const before = Date.now();
    await run("audit", "list", "--service", "netmap", "--since", "2h", "--until", "2026-02-01T09:00:00+01:00");
    const [first, ...others] = asked;
    assert.deepEqual([first?.service, first?.tenantId, others.length], ["netmap", TENANT, 0]);
    const since = first?.filter?.since && timestampMs(first.filter.since);
    assert.ok(since && since >= before - 7_200_000 && since <= Date.now() - 7_200_000);
    assert.equal(first?.filter?.until && timestampMs(first.filter.until), Date.parse("2026-02-01T08:00:00Z"));
    asked = [];
    await run("audit", "export", "--platform", "--actor", "apikey:a", "--action", "/x");
    assert.ok(asked.length >= 4);
    for (const { tenantId, filter } of asked) {
      assert.deepEqual(
        [tenantId, filter?.since, filter?.actor, filter?.actionPrefix],
        ["", undefined, "apikey:a", "/x"],
      );
    }
  });

  it("exports a line a row, as JSON and as CSV that no spreadsheet computes", async () => {
    const json = await run("audit", "export");
    const rows = json.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(rows.length, 13);
    assert.deepEqual(rows[1], {
      service: "auth",
      sequence: "1",
      tenantId: TENANT,
      occurredAt: "2026-01-31T08:00:01Z",
      actorType: "ACTOR_TYPE_API_KEY",
      actor: "apikey:a",
      action: "/cloudvlan.auth.v1.Service/Call",
      objectId: "",
      outcome: "ok",
      requestId: "",
      sourceAddress: "",
      clusterId: "",
    });
    assert.equal((await run("audit", "export", "--json")).out, json.out);

    const csv = (await run("audit", "export", "--format", "csv")).out.split("\r\n");
    assert.equal(csv.length, 15);
    assert.equal(csv[0], Object.keys(rows[1] ?? {}).join(","));
    assert.match(csv[5] ?? "", /,"'=1\+1,""x""",/);
  });

  it("refuses what is no time, an unknown service, and two forms at once", async () => {
    for (const argv of [
      ["list", "--since", "yesterday"],
      ["list", "--since", "2026-01-31"],
      ["list", "--until", "2026-13-31T08:00:00Z"],
      ["list", "--service", "mail"],
      ["export", "--format", "csv", "--json"],
    ]) {
      const { code, out } = await run("audit", ...argv);
      assert.deepEqual([code, out], [2, ""], argv.join(" "));
    }
    assert.deepEqual(asked, []);
  });
});
