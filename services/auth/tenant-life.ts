import { create } from "@bufbuild/protobuf";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { type Change, TenantStandingSchema } from "@cloudvlan/gen/entity/v1/events_pb.js";
import type { Caller } from "@cloudvlan/kit/caller";
import { isUniqueViolation, type Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import type { TenantId } from "@cloudvlan/kit/ids";
import { sealOf } from "@cloudvlan/kit/keys";
import { tenantSubject } from "@cloudvlan/kit/server";
import { denyHere, writeDenial } from "./deny.ts";
import { TENANT_TABLE, tenantFields } from "./domain/seals.ts";
import { isPresent, tenantNotFound } from "./handlers/common.ts";
import type { TenantRow } from "./schema.ts";
import { changeTenant, findTenants, lockTenant } from "./store.ts";
import { STREAM } from "./stream.ts";
import { type AuthContext, trustedTenants } from "./trusted.ts";

/** What is asked of a tenant; unset is kept. */
export interface TenantChange {
  readonly name?: string | undefined;
  readonly status?: Status | undefined;
  /** Revision that the change was made from; unset: any. */
  readonly baseRevision?: bigint | undefined;
  /** Of the audit row. */
  readonly action: string;
}

/**
 * Gives a tenant another name or another status. A repetition changes nothing and tells nobody.
 * @throws Refusal `not_found`, `conflict` when it is not the one that was looked at, `exists` when the name is taken.
 */
export async function updateTenant(
  ctx: AuthContext,
  caller: Caller,
  tenantId: TenantId,
  change: TenantChange,
): Promise<TenantRow> {
  try {
    return await ctx.db.platform(async (tx) => {
      const current = await lockTrusted(ctx, tx, caller, tenantId);
      if (!current || !isPresent(current)) throw tenantNotFound(tenantId);
      checkBase(current, change.baseRevision);
      const row = await write(ctx, tx, current, change);
      await ctx.audit.record(tx, caller, { action: change.action, objectId: tenantId, outcome: "ok" });
      return row;
    });
  } catch (error) {
    throw isUniqueViolation(error, "tenant_name_key") ? nameTaken(change.name ?? "") : error;
  }
}

/**
 * Ends a suspended tenant for good. Its row stays, so that its id is never given out again.
 * @throws Refusal `not_found`, `conflict` when it is not suspended or not the one that was looked at.
 */
export async function deleteTenant(
  ctx: AuthContext,
  caller: Caller,
  tenantId: TenantId,
  { baseRevision, action }: TenantChange,
): Promise<TenantRow> {
  const subject = tenantSubject(tenantId);
  const row = await ctx.db.platform(async (tx) => {
    const current = await lockTrusted(ctx, tx, caller, tenantId);
    if (!current) throw tenantNotFound(tenantId);
    if (current.status !== Status.DELETED) {
      checkBase(current, baseRevision);
      if (current.status !== Status.SUSPENDED) throw notSuspended(tenantId);
    }
    const deleted = await write(ctx, tx, current, { status: Status.DELETED });
    // Also when it was deleted before: a denial that was lost comes back.
    await writeDenial(ctx, tx, subject);
    await ctx.audit.record(tx, caller, { action, objectId: tenantId, outcome: "ok" });
    return deleted;
  });
  denyHere(ctx, subject);
  return row;
}

/** Marks a tenant as deleted that this worker knows to be, whatever the database says. @returns false when it is. */
export async function endTenant(ctx: AuthContext, caller: Caller, tenantId: TenantId, action: string) {
  return ctx.db.platform(async (tx) => {
    const current = await lockTrusted(ctx, tx, caller, tenantId);
    if (!current || current.status === Status.DELETED) return false;
    await write(ctx, tx, current, { status: Status.DELETED });
    await writeDenial(ctx, tx, tenantSubject(tenantId));
    await ctx.audit.record(tx, caller, { action, objectId: tenantId, outcome: "ok" });
    return true;
  });
}

async function lockTrusted(ctx: AuthContext, tx: Tx, caller: Caller, tenantId: TenantId) {
  const found = await lockTenant(tx, tenantId);
  const [row] = await trustedTenants(ctx, tx, caller, found ? [found] : []);
  return row;
}

async function write(
  ctx: AuthContext,
  tx: Tx,
  current: TenantRow,
  { name = current.name, status = current.status }: Omit<TenantChange, "action">,
): Promise<TenantRow> {
  if (name === current.name && status === current.status) return current;
  const revision = current.revision + 1n;
  const fields = { ...current, name, status, revision, updatedAt: new Date(ctx.clock.nowMs()) };
  const row: TenantRow = { ...fields, seal: sealOf(ctx.keys, TENANT_TABLE, tenantFields(fields)) };
  await changeTenant(tx, row);
  if (status !== current.status) {
    await ctx.changes.append(tx, STREAM, [{ objectId: `standing:${row.id}`, change: standingOf(row) }]);
  }
  return row;
}

function standingOf({ id: tenantId, status, revision }: TenantRow): Change["change"] {
  return { case: "tenant", value: create(TenantStandingSchema, { tenantId, status, revision }) };
}

/** Rows of the stream carry no seal: how tenants stand is told from the rows that do. One that is not trusted is suspended. */
export async function verifiedStandings(
  ctx: AuthContext,
  caller: Caller,
  changes: readonly Change[],
): Promise<readonly Change[]> {
  const ids = changes.flatMap(({ change }) => (change.case === "tenant" ? [change.value.tenantId as TenantId] : []));
  if (ids.length === 0) return changes;
  const rows = await ctx.db.platform(async (tx) => trustedTenants(ctx, tx, caller, await findTenants(tx, ids)));
  const byId = new Map(rows.map((row) => [row.id, row]));
  return changes.map((each) => {
    if (each.change.case !== "tenant") return each;
    const row = byId.get(each.change.value.tenantId as TenantId);
    if (row) return Object.assign(each, { change: standingOf(row) });
    each.change.value.status = Status.SUSPENDED;
    return each;
  });
}

function checkBase({ id, revision }: TenantRow, base: bigint | undefined): void {
  if (base === undefined || base === revision) return;
  throw new Refusal(
    "conflict",
    "TENANT_REVISION_CHANGED",
    `the change was made from revision ${base}, in force is ${revision}`,
    { field: "base_revision", objectId: id, remedy: `read revision ${revision}, and ask again from there` },
  );
}

export function nameTaken(name: string): Refusal {
  return new Refusal("exists", "TENANT_NAME_TAKEN", `a tenant named ${name} exists`, {
    field: "name",
    remedy: "choose another name",
  });
}

function notSuspended(tenantId: TenantId): Refusal {
  return new Refusal("conflict", "TENANT_NOT_SUSPENDED", "the tenant is active", {
    objectId: tenantId,
    remedy: "suspend it first: that can be taken back, and its machines let go of each other before they are refused",
  });
}
