import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { DeleteCvlanRequestSchema, RevokeNodeRequestSchema } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { isId, type TenantId } from "@cloudvlan/kit/ids";
import type { RegistryDeps } from "../deps.ts";
import { allCvlans } from "../store/cvlans.ts";
import { liveNodes } from "../store/nodes.ts";
import { deleteCvlan } from "./cvlans.ts";
import { itself } from "./itself.ts";
import { revokeNode } from "./revoke.ts";

/** Nodes that are taken up at once. */
const BATCH = 100;
/** Milliseconds until what was left undone is tried again, at most. */
const PAUSE_MS = 5_000;

/**
 * Ends what a deleted tenant has here: memberships, then cvlans with their tokens and groups. Auth refuses its keys and nodes
 * already. Told from the start each time, so that what was left undone is done.
 */
export async function endDeletedTenants(deps: RegistryDeps, signal: AbortSignal): Promise<void> {
  let cursor = 0n;
  while (!signal.aborted) {
    try {
      for await (const { changes, revision } of deps.auth.watchChanges({ since: cursor }, { signal })) {
        for (const { change } of changes) {
          if (change.case !== "tenant" || change.value.status !== Status.DELETED) continue;
          if (isId("tenant", change.value.tenantId)) await endTenant(deps, change.value.tenantId, signal);
        }
        cursor = revision;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refusal && error.reason === "CURSOR_AHEAD") cursor = 0n;
      deps.log.info({ error }, "what deleted tenants left behind is looked at again");
    }
    await sleep(randomInt(PAUSE_MS / 2, PAUSE_MS), undefined, { signal }).catch(() => undefined);
  }
}

/** One that cannot be ended keeps no other waiting. @throws the first failure, after all of them were tried. */
async function endTenant(deps: RegistryDeps, tenantId: TenantId, signal: AbortSignal): Promise<void> {
  const failures: unknown[] = [];
  const attempt = async (work: Promise<unknown>): Promise<void> => {
    await work.catch((error: unknown) => failures.push(error));
    signal.throwIfAborted();
  };
  let ended = 0;
  for (let after = ""; ;) {
    const nodes = await deps.db.tenant(tenantId, (tx) => liveNodes(tx, tenantId, after, BATCH));
    for (const nodeId of nodes) {
      await attempt(revokeNode(deps, create(RevokeNodeRequestSchema, { tenantId, nodeId }), itself()));
    }
    ended += nodes.length;
    const last = nodes.at(-1);
    if (last === undefined) break;
    after = last;
  }
  const cvlans = await deps.db.tenant(tenantId, (tx) => allCvlans(tx, tenantId));
  for (const cvlanId of cvlans) await attempt(deleteUnlessGone(deps, tenantId, cvlanId));
  if (failures.length > 0) throw failures[0];
  if (ended + cvlans.length === 0) return;
  deps.log.info({ tenant_id: tenantId, nodes: ended, cvlans: cvlans.length }, "what a deleted tenant had was ended");
}

/** Another worker may be faster. */
async function deleteUnlessGone(deps: RegistryDeps, tenantId: TenantId, cvlanId: string): Promise<void> {
  try {
    await deleteCvlan(deps, create(DeleteCvlanRequestSchema, { tenantId, cvlanId }), itself());
  } catch (error) {
    if (!(error instanceof Refusal) || error.kind !== "not_found") throw error;
  }
}
