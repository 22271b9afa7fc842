import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, timestampMs } from "@bufbuild/protobuf/wkt";
import { AuditFilterSchema, type AuditLog } from "@cloudvlan/gen/entity/v1/audit_log_pb.js";
import { PaginationSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { sql } from "drizzle-orm";
import { auditHandlers, auditLog } from "../../audit/index.ts";
import type { Database } from "../../db/index.ts";
import { Refusal } from "../../errors/index.ts";
import type { TenantId } from "../../ids/index.ts";
import { withStores } from "../../testing/stores.ts";
import { newTenant, noMigrations, serviceCaller } from "./fixture.ts";

const START = Date.parse("2026-01-01T00:00:00Z");
/** Rows that one page looks through. */
const SCANNED = 100_000;

describe("reading the audit log", function () {
  this.timeout(120_000);

  withStores((under) => {
    let db: Database;
    let tenantId: TenantId;
    const AMOUNT = SCANNED + 500;

    before(async () => {
      await under.store.migrate("policy", noMigrations);
      db = under.store.database("policy");
      tenantId = newTenant();
      // A row a second; every tenth of another actor, and one whose action stands alone near the end.
      await db.tenant(tenantId, async (tx) => {
        await tx.execute(sql`insert into audit_sequence (sequence) values (${AMOUNT})`);
        await tx.execute(sql`insert into audit_log
          (sequence, cluster_id, occurred_at, actor_type, actor, action, object_id, outcome, request_id, source_address)
          select n, 'cluster_1', ${new Date(START).toISOString()}::timestamptz + n * interval '1 second', 2,
            case when n % 10 = 0 then 'apikey:ten' else 'apikey:other' end,
            case when n = ${AMOUNT - 1} then '/a.Rare/Call' else '/a.B/C%' end, 'object', 'ok', 'r', '192.0.2.1'
          from generate_series(1, ${AMOUNT}) n`);
      });
    });

    const page = (filter: MessageInitShape<typeof AuditFilterSchema>, pageToken = "", pageSize = 100, of = tenantId) =>
      auditHandlers(db).listAuditLogs({
        tenantId: of,
        filter: create(AuditFilterSchema, filter),
        pagination: create(PaginationSchema, { pageToken, pageSize }),
      });
    async function all(filter: MessageInitShape<typeof AuditFilterSchema>, pageSize = 1_000): Promise<AuditLog[]> {
      const rows: AuditLog[] = [];
      for (let token = ""; ;) {
        const { auditLogs, meta } = await page(filter, token, pageSize);
        rows.push(...auditLogs);
        token = meta.nextPageToken;
        if (token === "") return rows;
      }
    }
    const at = (second: number) => timestampFromDate(new Date(START + second * 1000));
    const numbers = (rows: readonly AuditLog[]) => rows.map(({ sequence }) => Number(sequence));

    it("gives each row once, by number, in pages", async () => {
      const { auditLogs, meta } = await page({}, "", 0);
      assert.equal(auditLogs.length, 100);
      assert.deepEqual([meta.nextPageToken, auditLogs[0]?.tenantId], ["100", tenantId]);
      assert.deepEqual(
        numbers(await all({ until: at(2_500) }, 700)),
        Array.from({ length: 2_499 }, (_, n) => n + 1),
      );
    });

    it("filters by time, actor and the beginning of the action, and takes no character for a pattern", async () => {
      assert.deepEqual(numbers(await all({ since: at(50), until: at(90), actor: "apikey:ten" })), [50, 60, 70, 80]);
      assert.deepEqual(numbers(await all({ since: at(AMOUNT) })), [AMOUNT]);
      assert.deepEqual(await all({ actor: "apikey:te" }), []);
      assert.deepEqual(await all({ actionPrefix: "/a.%" }), []);
      assert.equal((await page({ actionPrefix: "/a.B/C%" })).auditLogs.length, 100);
    });

    it("ends a page that looked through many rows, and goes on there", async () => {
      const first = await page({ actionPrefix: "/a.Rare/" });
      assert.deepEqual([first.auditLogs, first.meta.nextPageToken], [[], String(SCANNED)]);
      const next = await page({ actionPrefix: "/a.Rare/" }, first.meta.nextPageToken);
      assert.deepEqual([numbers(next.auditLogs), next.meta.nextPageToken], [[AMOUNT - 1], ""]);
      assert.deepEqual(
        next.auditLogs[0]?.occurredAt && timestampMs(next.auditLogs[0].occurredAt),
        START + (AMOUNT - 1) * 1000,
      );
    });

    it("keeps tenants and the platform apart", async () => {
      const audit = auditLog("cluster_1");
      const other = newTenant();
      assert.deepEqual((await page({}, "", 100, other)).auditLogs, []);
      const entry = { action: "/a.B/C", objectId: "platform's", outcome: "ok" };
      await db.platform((tx) => audit.record(tx, serviceCaller, entry));
      const { auditLogs } = await auditHandlers(db).listAuditLogs({ tenantId: "" });
      assert.ok(auditLogs.some(({ objectId }) => objectId === "platform's"));
      assert.ok(auditLogs.every((row) => row.tenantId === ""));
    });

    it("refuses a token that no page gave", async () => {
      for (const token of ["0", "-1", "01", "x", "1e3", "9".repeat(19), "9".repeat(20), "1 or 1=1"]) {
        await assert.rejects(
          page({}, token),
          (error) => error instanceof Refusal && error.reason === "PAGE_TOKEN_INVALID",
        );
      }
      assert.deepEqual((await page({}, String(AMOUNT))).meta.nextPageToken, "");
    });
  });
});
