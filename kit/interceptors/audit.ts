import type { Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { Interceptor } from "@connectrpc/connect";
import { pathOf } from "../access/index.ts";
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { AuditLog } from "../audit/index.ts";
import { type Caller, callerKey, subjectOf } from "../caller/index.ts";
import type { Database } from "../db/index.ts";
import { Refusal } from "../errors/index.ts";
import { isId, type TenantId } from "../ids/index.ts";
import type { Logger } from "../log/index.ts";
import { tenantIdOf } from "./authz.ts";
import type { RefusalCounter } from "./refusals.ts";

/** Rows a minute that refusals of one caller cost: a row is dearer than the refusal, and takes its tenant's counter. */
const ROWS_PER_MINUTE = 60;

export interface AuditOptions {
  readonly db: Database;
  readonly audit: AuditLog;
  readonly log: Logger;
  /** Counts the refusals that get no row. */
  readonly refusals: RefusalCounter;
}

/** A caller's refusal stands in its own tenant; whoever is of no tenant is filed under the one it asked for. */
function tenantOfRow(caller: Caller, asked: string | undefined): TenantId | undefined {
  if (caller.workload.kind === "node") return caller.workload.tenantId;
  if (caller.authority?.tenantId !== undefined) return caller.authority.tenantId;
  return asked !== undefined && isId("tenant", asked) ? asked : undefined;
}

/**
 * Writes a row when somebody with an identity is refused a change. What succeeds is recorded by its handler, in the
 * transaction of the change; refusals of the nameless, and those of a caller beyond its rows of a minute, are counted.
 */
export function auditInterceptor({ db, audit, log, refusals }: AuditOptions): Interceptor {
  const rows = new RateLimiterMemory({ points: ROWS_PER_MINUTE, duration: 60 });

  async function mayHaveRow(caller: Caller): Promise<boolean> {
    try {
      await rows.consume(subjectOf(caller));
      return true;
    } catch (rejection) {
      if (rejection instanceof RateLimiterRes) return false;
      throw rejection;
    }
  }

  async function record(caller: Caller, action: string, asked: string | undefined, refusal: Refusal): Promise<void> {
    const tenantId = tenantOfRow(caller, asked);
    const entry = {
      action,
      objectId: refusal.detail.objectId ?? "",
      outcome: refusal.detail.auditReason ?? refusal.reason,
    };
    try {
      if (tenantId === undefined) await db.platform((tx) => audit.record(tx, caller, entry));
      else await db.tenant(tenantId, (tx) => audit.record(tx, caller, entry));
    } catch (error) {
      log.error({ error, ...entry }, "a refusal could not be audited");
    }
  }

  return (next) => async (request) => {
    try {
      return await next(request);
    } catch (error) {
      const caller = request.contextValues.get(callerKey);
      const known = caller !== undefined && (caller.workload.kind !== "none" || caller.authority !== undefined);
      const changes = request.method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
      if (known && changes && error instanceof Refusal && error.kind !== "unavailable") {
        const asked = request.stream ? undefined : tenantIdOf(request.method.input, request.message as Message);
        if (await mayHaveRow(caller)) await record(caller, pathOf(request.method), asked, error);
        else refusals.count(error);
      }
      throw error;
    }
  };
}
