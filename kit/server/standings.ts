import type { TenantStanding } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Refusal } from "../errors/index.ts";
import { isId, type TenantId } from "../ids/index.ts";

/** Which tenants are suspended, as auth told this process last. */
export interface Standings {
  isSuspended(tenantId: TenantId): boolean;
  /** Undefined for a tenant that was never told of: it is active. */
  of(tenantId: TenantId): Standing | undefined;
  /** What is not newer than what is known changes nothing. */
  take(standing: Pick<TenantStanding, "tenantId" | "status" | "revision">): void;
  /** Auth begins to tell from the start: revisions of before say nothing any more. What is known stands until then. */
  restart(): void;
  /** Calls the listener with each tenant of which something new was told. */
  onChange(listener: (tenantId: TenantId) => void): void;
}

export interface Standing {
  /** True for a deleted one too. */
  readonly suspended: boolean;
  readonly deleted: boolean;
  /** Of the tenant. */
  readonly revision: bigint;
}

export function standings(): Standings {
  const known = new Map<TenantId, Standing>();
  const listeners: ((tenantId: TenantId) => void)[] = [];
  return {
    isSuspended: (tenantId) => known.get(tenantId)?.suspended ?? false,
    of: (tenantId) => known.get(tenantId),
    take({ tenantId, status, revision }) {
      if (!isId("tenant", tenantId)) return;
      if ((known.get(tenantId)?.revision ?? 0n) >= revision) return;
      known.set(tenantId, { suspended: status !== Status.ACTIVE, deleted: status === Status.DELETED, revision });
      for (const listener of listeners) listener(tenantId);
    },
    restart() {
      for (const [tenantId, standing] of known) known.set(tenantId, { ...standing, revision: 0n });
    },
    onChange: (listener) => void listeners.push(listener),
  };
}

/** Subject of a tenant in denials: everything that is of it. */
export function tenantSubject(tenantId: TenantId): string {
  return `tenant:${tenantId}`;
}

export function tenantSuspended(tenantId: TenantId): Refusal {
  return new Refusal("denied", "TENANT_SUSPENDED", "the tenant is suspended", {
    objectId: tenantId,
    remedy: "ask the operator of the platform; all is as before once the tenant is active again",
  });
}
