import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import type { Resigned } from "@cloudvlan/kit/delegation";
import type { TenantId } from "@cloudvlan/kit/ids";
import { type RoleKey, signRecord } from "@cloudvlan/kit/sign";
import type { SigningDeps } from "../deps.ts";
import { openRecord } from "../domain/record.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { type NodeRow, updateNode } from "../store/nodes.ts";
import {
  countSignedByOthers,
  dnsSignedByOthers,
  nodesSignedByOthers,
  relayMapsSignedByOthers,
} from "../store/resign.ts";
import { publishDomain } from "./publish-cvlan.ts";
import { signRelayMap } from "./publish-relay-map.ts";

/** Records signed in one transaction: requests that wait for the same rows wait so long. */
const BATCH = 100;

/**
 * Has the tenant's key sign what another key of the role signed: node records as they are, DNS records and relay maps under
 * their next revision. Rows that other workers are at are left to them.
 */
export async function resignRecords(deps: SigningDeps, tenantId: TenantId, key: RoleKey): Promise<Resigned> {
  let signed = 0;
  for (let after = ""; ;) {
    const rows = await deps.db.tenant(tenantId, async (tx) => {
      const batch = await nodesSignedByOthers(tx, tenantId, key, after, BATCH);
      const made = await resignNodes(deps, tx, key, batch);
      return { last: batch.at(-1)?.id, made };
    });
    signed += rows.made;
    if (rows.last === undefined) break;
    after = rows.last;
  }
  const cvlanIds = await deps.db.tenant(tenantId, (tx) => dnsSignedByOthers(tx, tenantId, key));
  for (const cvlanId of cvlanIds) {
    await deps.db.tenant(tenantId, async (tx) => {
      await publishDomain(deps, tx, key, await requireCvlan(tx, deps.seals, tenantId, cvlanId));
    });
    signed++;
  }
  const relayed = await deps.db.tenant(tenantId, (tx) => relayMapsSignedByOthers(tx, tenantId, key));
  for (const cvlanId of relayed) {
    await deps.db.tenant(tenantId, async (tx) => {
      await requireCvlan(tx, deps.seals, tenantId, cvlanId);
      await signRelayMap(deps, tx, key, { tenantId, cvlanId });
    });
    signed++;
  }
  return { signed, left: await deps.db.tenant(tenantId, (tx) => countSignedByOthers(tx, tenantId, key)) };
}

/** @returns how many; a record that no key of the role signed, or a row that is not ours, is reported and left alone. */
async function resignNodes(deps: SigningDeps, tx: Tx, key: RoleKey, rows: readonly NodeRow[]): Promise<number> {
  const signed: NodeRow[] = [];
  for (const row of rows) {
    const ours = deps.seals.open("node", row);
    if (!ours || openRecord(key, ours)?.recordRevision !== ours.recordRevision) {
      deps.log.error(
        { tenant_id: row.tenantId, node_id: row.id },
        "a node's record is not ours; it is not signed again",
      );
      continue;
    }
    const { payload } = fromBinary(SignedSchema, ours.record);
    const record = toBinary(SignedSchema, signRecord(key, "node", payload));
    signed.push(await updateNode(tx, deps.seals, { ...ours, record: Buffer.from(record) }));
  }
  for (const [cvlanId, ofCvlan] of Map.groupBy(signed, (row) => row.cvlanId)) {
    const changes = ofCvlan.map(({ id, record }) => ({
      objectId: id,
      change: { case: "node" as const, value: new Uint8Array(record) },
    }));
    await deps.changes.append(tx, cvlanId, changes);
  }
  return signed.length;
}
