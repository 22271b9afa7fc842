import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { and, asc, count, eq, gt, inArray } from "drizzle-orm";
import { groupMembers, groups } from "../schema.ts";
import type { Seals } from "../seals.ts";
import type { Page } from "@cloudvlan/kit/page";

export type GroupRow = typeof groups.$inferSelect;

/** @throws Refusal `exists` when the cvlan has a group of that name. */
export async function insertGroup(tx: Tx, seals: Seals, group: Omit<GroupRow, "seal">): Promise<GroupRow> {
  const row = seals.seal("node_group", group);
  const inserted = await tx
    .insert(groups)
    .values(row)
    .onConflictDoNothing({ target: [groups.cvlanId, groups.name] })
    .returning({ id: groups.id });
  if (inserted.length > 0) return row;
  throw groupNameTaken(group.name);
}

/**
 * A group, locked so that nobody deletes it meanwhile, or, with `update`, changes it.
 * @throws Refusal `not_found`.
 */
export async function requireGroup(
  tx: Tx,
  seals: Seals,
  tenantId: string,
  groupId: string,
  lock: "share" | "update" = "share",
): Promise<GroupRow> {
  const [stored] = await tx
    .select()
    .from(groups)
    .where(and(eq(groups.tenantId, tenantId), eq(groups.id, groupId)))
    .for(lock);
  const row = seals.open("node_group", stored);
  if (row) return row;
  throw new Refusal("not_found", "GROUP_NOT_FOUND", "there is no such group", {
    field: "group_id",
    remedy: "list the cvlan's groups",
    auditReason: stored ? "SEAL_BROKEN" : "GROUP_NOT_FOUND",
  });
}

/** Gives a group another name. @throws Refusal `exists` when the cvlan has a group of that name. */
export async function renameGroup(tx: Tx, seals: Seals, group: GroupRow, name: string): Promise<GroupRow> {
  const [named] = await tx
    .select({ id: groups.id })
    .from(groups)
    .where(and(eq(groups.tenantId, group.tenantId), eq(groups.cvlanId, group.cvlanId), eq(groups.name, name)));
  if (named) throw groupNameTaken(name);
  const row = seals.seal("node_group", { ...group, name });
  await tx
    .update(groups)
    .set(row)
    .where(and(eq(groups.tenantId, row.tenantId), eq(groups.id, row.id)));
  return row;
}

export function groupNameTaken(name: string): Refusal {
  return new Refusal("exists", "GROUP_NAME_TAKEN", `the cvlan has a group named ${name}`, {
    field: "name",
    remedy: "choose another name",
  });
}

/** Rows of a group's members as they stand, one more than the page holds. */
export async function listMembers(
  tx: Tx,
  tenantId: string,
  groupId: string,
  page: Page,
): Promise<{ id: string; member: typeof groupMembers.$inferSelect }[]> {
  const rows = await tx
    .select()
    .from(groupMembers)
    .where(
      and(eq(groupMembers.tenantId, tenantId), eq(groupMembers.groupId, groupId), gt(groupMembers.nodeId, page.after)),
    )
    .orderBy(asc(groupMembers.nodeId))
    .limit(page.size + 1);
  return rows.map((member) => ({ id: member.nodeId, member }));
}

/** How many members a group has. */
export async function countMembers(tx: Tx, tenantId: string, groupId: string): Promise<number> {
  const [row] = await tx
    .select({ n: count() })
    .from(groupMembers)
    .where(and(eq(groupMembers.tenantId, tenantId), eq(groupMembers.groupId, groupId)));
  return row?.n ?? 0;
}

/** Those of the groups that exist in the cvlan, locked so that nobody deletes them meanwhile. */
export async function existingGroups(
  tx: Tx,
  seals: Seals,
  cvlan: { tenantId: string; id: string },
  groupIds: readonly string[],
): Promise<string[]> {
  if (groupIds.length === 0) return [];
  const rows = await tx
    .select()
    .from(groups)
    .where(and(eq(groups.tenantId, cvlan.tenantId), eq(groups.cvlanId, cvlan.id), inArray(groups.id, [...groupIds])))
    .for("share");
  return rows.filter((row) => seals.open("node_group", row)).map((row) => row.id);
}

/** Rows as they stand, one more than the page holds, with their number of members. */
export async function listGroups(
  tx: Tx,
  tenantId: string,
  cvlanId: string,
  page: Page,
): Promise<{ id: string; group: GroupRow; members: number }[]> {
  const rows = await tx
    .select()
    .from(groups)
    .where(and(eq(groups.tenantId, tenantId), eq(groups.cvlanId, cvlanId), gt(groups.id, page.after)))
    .orderBy(asc(groups.id))
    .limit(page.size + 1);
  const ids = rows.map((row) => row.id);
  if (ids.length === 0) return [];
  const counted = await tx
    .select({ id: groupMembers.groupId, members: count() })
    .from(groupMembers)
    .where(and(eq(groupMembers.tenantId, tenantId), inArray(groupMembers.groupId, ids)))
    .groupBy(groupMembers.groupId);
  const members = new Map(counted.map((row) => [row.id, row.members]));
  return rows.map((group) => ({ id: group.id, group, members: members.get(group.id) ?? 0 }));
}

/** Ids of the groups with these names. */
export async function groupsNamed(
  tx: Tx,
  seals: Seals,
  tenantId: string,
  cvlanId: string,
  names: readonly string[],
): Promise<Map<string, string>> {
  if (names.length === 0) return new Map();
  const rows = await tx
    .select()
    .from(groups)
    .where(and(eq(groups.tenantId, tenantId), eq(groups.cvlanId, cvlanId), inArray(groups.name, [...names])));
  return new Map(rows.filter((row) => seals.open("node_group", row)).map((row) => [row.name, row.id]));
}

export async function deleteGroup(tx: Tx, tenantId: string, groupId: string): Promise<void> {
  await tx.delete(groups).where(and(eq(groups.tenantId, tenantId), eq(groups.id, groupId)));
}

export async function addMember(
  tx: Tx,
  seals: Seals,
  tenantId: string,
  groupId: string,
  nodeId: string,
): Promise<void> {
  const row = seals.seal("group_member", { tenantId, groupId, nodeId });
  await tx
    .insert(groupMembers)
    .values(row)
    .onConflictDoUpdate({ target: [groupMembers.groupId, groupMembers.nodeId], set: { seal: row.seal } });
}

export async function removeMember(tx: Tx, tenantId: string, groupId: string, nodeId: string): Promise<void> {
  await tx
    .delete(groupMembers)
    .where(
      and(eq(groupMembers.tenantId, tenantId), eq(groupMembers.groupId, groupId), eq(groupMembers.nodeId, nodeId)),
    );
}

export async function removeFromAllGroups(tx: Tx, tenantId: string, nodeId: string): Promise<void> {
  await tx.delete(groupMembers).where(and(eq(groupMembers.tenantId, tenantId), eq(groupMembers.nodeId, nodeId)));
}

/** Members of a group, at most `limit`, in a fixed order: locks taken along it never cross. */
export async function membersOf(tx: Tx, tenantId: string, groupId: string, limit: number): Promise<string[]> {
  const rows = await tx
    .select({ nodeId: groupMembers.nodeId })
    .from(groupMembers)
    .where(and(eq(groupMembers.tenantId, tenantId), eq(groupMembers.groupId, groupId)))
    .orderBy(asc(groupMembers.nodeId))
    .limit(limit);
  return rows.map((row) => row.nodeId);
}

/** Groups of each of the nodes, by sealed rows alone, sorted. */
export async function groupsOf(
  tx: Tx,
  seals: Seals,
  tenantId: string,
  nodeIds: readonly string[],
): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  if (nodeIds.length === 0) return found;
  const rows = await tx
    .select()
    .from(groupMembers)
    .where(and(eq(groupMembers.tenantId, tenantId), inArray(groupMembers.nodeId, [...nodeIds])))
    .orderBy(asc(groupMembers.groupId));
  for (const row of rows) {
    if (!seals.open("group_member", row)) continue;
    const of = found.get(row.nodeId) ?? [];
    of.push(row.groupId);
    found.set(row.nodeId, of);
  }
  return found;
}
