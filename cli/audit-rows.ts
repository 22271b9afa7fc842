import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { CallOptions } from "@connectrpc/connect";
import { AuditService as AuthAudit } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { AuditFilterSchema, AuditLog } from "@cloudvlan/gen/entity/v1/audit_log_pb.js";
import type { ListMeta, PaginationSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { AuditService as NetmapAudit } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { AuditService as PolicyAudit } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { AuditService as RegistryAudit } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import type { Session } from "./session.ts";

const PAGE_SIZE = 1_000;

/** Which rows are asked for. */
export interface AuditQuery {
  /** Empty for the platform's own. */
  readonly tenantId: string;
  readonly filter: MessageInitShape<typeof AuditFilterSchema>;
}

/** A row with the service that numbers it. */
export interface ServiceRow {
  readonly service: string;
  readonly row: AuditLog;
}

type Request = AuditQuery & { readonly pagination: MessageInitShape<typeof PaginationSchema> };
type List = (
  request: Request,
  options: CallOptions,
) => Promise<{ readonly auditLogs: readonly AuditLog[]; readonly meta?: ListMeta | undefined }>;

const LISTS: ReadonlyMap<string, (session: Session) => List> = new Map<string, (session: Session) => List>([
  ["auth", (session) => session.client(AuthAudit).listAuditLogs],
  ["registry", (session) => session.client(RegistryAudit).listAuditLogs],
  ["policy", (session) => session.client(PolicyAudit).listAuditLogs],
  ["netmap", (session) => session.client(NetmapAudit).listAuditLogs],
]);

/** Services that keep a log. */
export const AUDITED: readonly string[] = [...LISTS.keys()];

async function* rowsOf(
  service: string,
  list: List,
  query: AuditQuery,
  signal: AbortSignal,
): AsyncGenerator<ServiceRow> {
  for (let pageToken = ""; ;) {
    const page = await list({ ...query, pagination: { pageSize: PAGE_SIZE, pageToken } }, { signal });
    for (const row of page.auditLogs) yield { service, row };
    const next = page.meta?.nextPageToken ?? "";
    if (next === "" || next === pageToken) return;
    pageToken = next;
  }
}

/**
 * Rows of the logs of these services, oldest first; within one service by number. One page of each is held at a time.
 * @param services of `AUDITED`.
 */
export async function* auditRows(
  session: Session,
  services: readonly string[],
  query: AuditQuery,
  signal: AbortSignal,
): AsyncGenerator<ServiceRow> {
  const logs = [...LISTS]
    .filter(([service]) => services.includes(service))
    .map(([service, list]) => rowsOf(service, list(session), query, signal));
  const heads = await Promise.all(logs.map(async (rows) => ({ rows, head: await rows.next() })));
  for (;;) {
    const oldest = heads
      .filter(({ head }) => head.done !== true)
      .reduce<(typeof heads)[number] | undefined>(
        (a, b) => (a && timeOf(a.head.value) <= timeOf(b.head.value) ? a : b),
        undefined,
      );
    if (!oldest || oldest.head.done === true) return;
    yield oldest.head.value;
    oldest.head = await oldest.rows.next();
  }
}

function timeOf(head: ServiceRow | undefined): number {
  return head?.row.occurredAt ? timestampMs(head.row.occurredAt) : 0;
}
