import { create } from "@bufbuild/protobuf";
import { ObjectKind, RemovalSchema } from "@cloudvlan/gen/entity/v1/events_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import type { SigningKey } from "@cloudvlan/kit/sign";
import type { RegistryDeps } from "../deps.ts";
import { signNode } from "../domain/record.ts";
import type { CvlanRow } from "../store/cvlans.ts";
import { type NodeRow, updateNode } from "../store/nodes.ts";

/**
 * Signs the next record of a node as `node` says it shall be, stores it and appends it to the cvlan's stream.
 * @param field of the request, for the error.
 * @throws Refusal `invalid` when the record would be larger than a node takes.
 */
export async function publishNode(
  deps: RegistryDeps,
  tx: Tx,
  key: SigningKey,
  cvlan: CvlanRow,
  node: NodeRow,
  groupIds: readonly string[],
  field: string,
): Promise<NodeRow> {
  const recordRevision = node.recordRevision + 1n;
  const record = signNode(deps.keys, key, cvlan, node, groupIds, recordRevision, field);
  const row = await updateNode(tx, deps.seals, { ...node, record, recordRevision });
  await deps.changes.append(tx, cvlan.id, [{ objectId: node.id, change: { case: "node", value: record } }]);
  return row;
}

/** Tells the cvlan's stream that a node is gone. */
export async function publishRemoval(deps: RegistryDeps, tx: Tx, node: NodeRow): Promise<void> {
  const removal = create(RemovalSchema, { kind: ObjectKind.NODE });
  await deps.changes.append(tx, node.cvlanId, [{ objectId: node.id, change: { case: "removal", value: removal } }]);
}
