import type { NodeRecord } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { isUniqueViolation, type Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import type { RoleKey } from "@cloudvlan/kit/sign";
import { and, asc, eq, gt, inArray, isNull } from "drizzle-orm";
import { openRecord } from "../domain/record.ts";
import { nodes } from "../schema.ts";
import type { Seals } from "../seals.ts";
import type { Page } from "@cloudvlan/kit/page";

export type NodeRow = typeof nodes.$inferSelect;

/** @throws Refusal `exists` when the name or the WireGuard key is taken in the cvlan. */
export async function insertNode(tx: Tx, seals: Seals, node: Omit<NodeRow, "seal">): Promise<NodeRow> {
  const [sameKey] = await tx
    .select({ id: nodes.id })
    .from(nodes)
    .where(
      and(
        eq(nodes.tenantId, node.tenantId),
        eq(nodes.cvlanId, node.cvlanId),
        eq(nodes.wireguardPublicKey, node.wireguardPublicKey),
        isNull(nodes.revokedAt),
      ),
    );
  if (sameKey) throw wireguardKeyTaken();
  const row = seals.seal("node", node);
  await tx.insert(nodes).values(row);
  return row;
}

export function wireguardKeyTaken(): Refusal {
  return new Refusal("exists", "WIREGUARD_KEY_TAKEN", "another node of the cvlan has this WireGuard key", {
    field: "wireguard_public_key",
    remedy: "make a new key pair; a copied state directory must not join a second time",
  });
}

export function nameTaken(name: string): Refusal {
  return new Refusal("exists", "NODE_NAME_TAKEN", `the cvlan has a node named ${name}`, {
    field: "name",
    remedy: "choose another name",
  });
}

/** What a violated key of the table means in the words of a caller; the error itself when it is something else. */
export function nodeConflict(error: unknown, name: string): unknown {
  if (isUniqueViolation(error, "node_name")) return nameTaken(name);
  if (isUniqueViolation(error, "node_wireguard_public_key")) return wireguardKeyTaken();
  return error;
}

/** Replaces a row; its tenant and id stay. */
export async function updateNode(tx: Tx, seals: Seals, node: NodeRow): Promise<NodeRow> {
  const row = seals.seal("node", node);
  await tx
    .update(nodes)
    .set(row)
    .where(and(eq(nodes.tenantId, row.tenantId), eq(nodes.id, row.id)));
  return row;
}

function notFound(auditReason: string): Refusal {
  return new Refusal("not_found", "NODE_NOT_FOUND", "there is no such node", {
    field: "node_id",
    remedy: "list the tenant's nodes",
    auditReason,
  });
}

/**
 * A node to be read.
 * @throws Refusal `not_found` when the tenant has none of that id, or its row is not this service's.
 */
export async function requireNode(tx: Tx, seals: Seals, tenantId: string, nodeId: string): Promise<NodeRow> {
  const [stored] = await tx
    .select()
    .from(nodes)
    .where(and(eq(nodes.tenantId, tenantId), eq(nodes.id, nodeId)));
  const row = seals.open("node", stored);
  if (!row) throw notFound(stored ? "SEAL_BROKEN" : "NODE_NOT_FOUND");
  return row;
}

/** A node to be changed: its row is locked until the end of the transaction. */
export async function lockNode(tx: Tx, seals: Seals, tenantId: string, nodeId: string): Promise<NodeRow> {
  const [stored] = await tx
    .select()
    .from(nodes)
    .where(and(eq(nodes.tenantId, tenantId), eq(nodes.id, nodeId)))
    .for("update");
  const row = seals.open("node", stored);
  if (!row) throw notFound(stored ? "SEAL_BROKEN" : "NODE_NOT_FOUND");
  return row;
}

/** An active node, locked, and what its last record says. */
export interface ActiveNode {
  readonly node: NodeRow;
  readonly record: NodeRecord;
}

/**
 * An active node to be changed, its last record checked against the keys of those who sign.
 * @throws Refusal `conflict` when it is joining or revoked.
 */
export async function lockActiveNode(
  tx: Tx,
  seals: Seals,
  key: RoleKey,
  tenantId: string,
  nodeId: string,
): Promise<ActiveNode> {
  const row = await lockNode(tx, seals, tenantId, nodeId);
  if (row.status !== NodeStatus.ACTIVE) {
    const revoked = row.status === NodeStatus.REVOKED;
    const reason = revoked ? "NODE_REVOKED" : "NODE_JOINING";
    throw new Refusal("conflict", reason, revoked ? "the node is revoked" : "the node has not joined yet", {
      objectId: nodeId,
      remedy: revoked ? "join the machine again with a new token" : "let the machine finish its join first",
    });
  }
  const record = openRecord(key, row);
  if (record?.recordRevision !== row.recordRevision) throw notFound("RECORD_SIGNATURE_BROKEN");
  return { node: row, record };
}

/** Rows as they stand, one more than the page holds: a broken one must not end the list early. Empty: of any cvlan, name. */
export async function listNodes(
  tx: Tx,
  tenantId: string,
  { cvlanId, name }: { readonly cvlanId: string; readonly name: string },
  page: Page,
): Promise<NodeRow[]> {
  return tx
    .select()
    .from(nodes)
    .where(
      and(
        eq(nodes.tenantId, tenantId),
        cvlanId === "" ? undefined : eq(nodes.cvlanId, cvlanId),
        name === "" ? undefined : eq(nodes.name, name),
        gt(nodes.id, page.after),
      ),
    )
    .orderBy(asc(nodes.id))
    .limit(page.size + 1);
}

/** Ids of nodes of the tenant that are not revoked, in order, past one, at most so many. */
export async function liveNodes(tx: Tx, tenantId: string, after: string, limit: number): Promise<string[]> {
  const rows = await tx
    .select({ id: nodes.id })
    .from(nodes)
    .where(and(eq(nodes.tenantId, tenantId), isNull(nodes.revokedAt), gt(nodes.id, after)))
    .orderBy(asc(nodes.id))
    .limit(limit);
  return rows.map(({ id }) => id);
}

/** Those of the names that live nodes of the cvlan have. */
export async function takenNames(
  tx: Tx,
  tenantId: string,
  cvlanId: string,
  names: readonly string[],
): Promise<Set<string>> {
  const rows = await tx
    .select({ name: nodes.name })
    .from(nodes)
    .where(
      and(
        eq(nodes.tenantId, tenantId),
        eq(nodes.cvlanId, cvlanId),
        isNull(nodes.revokedAt),
        inArray(nodes.name, [...names]),
      ),
    );
  return new Set(rows.map((row) => row.name));
}

/** Ids of the live nodes with these names. */
export async function nodesNamed(
  tx: Tx,
  seals: Seals,
  tenantId: string,
  cvlanId: string,
  names: readonly string[],
): Promise<Map<string, string>> {
  if (names.length === 0) return new Map();
  const rows = await tx
    .select()
    .from(nodes)
    .where(
      and(
        eq(nodes.tenantId, tenantId),
        eq(nodes.cvlanId, cvlanId),
        inArray(nodes.name, [...names]),
        isNull(nodes.revokedAt),
      ),
    );
  return new Map(rows.filter((row) => seals.open("node", row)).map((row) => [row.name, row.id]));
}
