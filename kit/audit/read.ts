import { create } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type AuditFilter, type AuditLog as AuditRow, AuditLogSchema } from "@cloudvlan/gen/entity/v1/audit_log_pb.js";
import { type ListMeta, ListMetaSchema, type Pagination } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { and, asc, eq, gt, gte, lt, lte, type SQL, sql } from "drizzle-orm";
import type { Database, Tx } from "../db/index.ts";
import { Refusal } from "../errors/index.ts";
import { requireId } from "../ids/index.ts";
import { auditLogTable, auditSequence } from "./tables.ts";

const DEFAULT_SIZE = 100;
/** Rows that one page looks through: a filter that fits few rows ends the page, and not the database's patience. */
const SCAN = 100_000n;
const MAX_SEQUENCE = 2n ** 63n - 1n - SCAN;

/** `ListAuditLogsRequest` of any service. */
export interface AuditRequest {
  /** Empty for the platform's own rows. */
  readonly tenantId: string;
  readonly filter?: AuditFilter | undefined;
  readonly pagination?: Pagination | undefined;
}

export interface AuditPage {
  readonly auditLogs: AuditRow[];
  readonly meta: ListMeta;
}

/** Handlers of the `AuditService` of the service whose database it is. */
export function auditHandlers(db: Database): {
  listAuditLogs(request: AuditRequest): Promise<AuditPage>;
} {
  return {
    async listAuditLogs({ tenantId, filter, pagination }) {
      const after = cursorOf(pagination);
      const size = pagination?.pageSize || DEFAULT_SIZE;
      const work = (tx: Tx) => readPage(tx, filter, after, size);
      return tenantId === "" ? db.platform(work) : db.tenant(requireId("tenant", tenantId, "tenant_id"), work);
    },
  };
}

/** @throws Refusal `invalid` for a token that no page gave. */
function cursorOf(pagination: Pagination | undefined): bigint {
  const token = pagination?.pageToken ?? "";
  if (token === "") return 0n;
  const sequence = /^[1-9][0-9]{0,18}$/.test(token) ? BigInt(token) : MAX_SEQUENCE + 1n;
  if (sequence <= MAX_SEQUENCE) return sequence;
  throw new Refusal("invalid", "PAGE_TOKEN_INVALID", "the page token is not one of this list", {
    field: "pagination.page_token",
    remedy: "pass next_page_token of the page before as it was given",
  });
}

async function readPage(tx: Tx, filter: AuditFilter | undefined, after: bigint, size: number): Promise<AuditPage> {
  const [counter] = await tx.select({ last: auditSequence.sequence }).from(auditSequence);
  const last = counter?.last ?? 0n;
  const end = after + SCAN;
  const { sequence } = auditLogTable;
  const rows = await tx
    .select()
    .from(auditLogTable)
    .where(and(gt(sequence, after), lte(sequence, end), ...conditionsOf(filter)))
    .orderBy(asc(sequence))
    .limit(size);
  const full = rows.length === size;
  const seen = full ? (rows.at(-1)?.sequence ?? end) : end;
  return {
    auditLogs: rows.map(rowOf),
    meta: create(ListMetaSchema, { nextPageToken: seen < last ? String(seen) : "" }),
  };
}

function conditionsOf(filter: AuditFilter | undefined): SQL[] {
  if (!filter) return [];
  const { since, until, actor, actionPrefix } = filter;
  const { occurredAt, action } = auditLogTable;
  return [
    ...(since ? [gte(occurredAt, timestampDate(since))] : []),
    ...(until ? [lt(occurredAt, timestampDate(until))] : []),
    ...(actor === "" ? [] : [eq(auditLogTable.actor, actor)]),
    ...(actionPrefix === "" ? [] : [sql`starts_with(${action}, ${actionPrefix})`]),
  ];
}

function rowOf({ tenantId, occurredAt, ...row }: typeof auditLogTable.$inferSelect): AuditRow {
  return create(AuditLogSchema, { ...row, tenantId: tenantId ?? "", occurredAt: timestampFromDate(occurredAt) });
}
