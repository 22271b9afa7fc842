import { ActorType } from "@cloudvlan/gen/entity/v1/audit_log_pb.js";
import { sql } from "drizzle-orm";
import { type Caller, subjectOf } from "../caller/index.ts";
import type { AuditLog } from "./index.ts";
import { auditLogTable, auditSequence } from "./tables.ts";

/** The audit log in the service's own schema; the rows belong to the transaction's tenant, or to the platform. */
export function auditLog(clusterId: string): AuditLog {
  return {
    record: async (tx, caller, { action, objectId, outcome }) => {
      const [counter] = await tx
        .insert(auditSequence)
        .values({ sequence: 1n })
        .onConflictDoUpdate({ target: [auditSequence.tenantId], set: { sequence: sql`${auditSequence.sequence} + 1` } })
        .returning({ sequence: auditSequence.sequence });
      if (!counter) throw new Error("the audit sequence did not answer");
      await tx.insert(auditLogTable).values({
        sequence: counter.sequence,
        clusterId,
        actorType: actorTypeOf(caller),
        actor: subjectOf(caller),
        action,
        objectId,
        outcome,
        requestId: caller.requestId,
        sourceAddress: caller.address,
      });
    },
  };
}

function actorTypeOf(caller: Caller): ActorType {
  if (caller.authority) return ActorType.API_KEY;
  switch (caller.workload.kind) {
    case "service":
      return ActorType.SERVICE;
    case "node":
      return ActorType.NODE;
    case "none":
      return ActorType.ANONYMOUS;
  }
}
