import { create } from "@bufbuild/protobuf";
import { type Group, type GroupWithCount, GroupWithCountSchema } from "@cloudvlan/gen/entity/v1/group_pb.js";
import {
  type AddGroupMemberRequest,
  type CreateGroupRequest,
  type DeleteGroupRequest,
  type GetGroupRequest,
  GroupService,
  type ListGroupMembersRequest,
  type ListGroupMembersResponse,
  ListGroupMembersResponseSchema,
  type ListGroupsRequest,
  type ListGroupsResponse,
  ListGroupsResponseSchema,
  type RemoveGroupMemberRequest,
  type UpdateGroupRequest,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Caller, subjectOf } from "@cloudvlan/kit/caller";
import { isForeignKeyViolation, isUniqueViolation, type Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { newId } from "@cloudvlan/kit/ids";
import type { SigningKey } from "@cloudvlan/kit/sign";
import type { RegistryDeps } from "../deps.ts";
import { groupsAmong } from "../domain/selectors.ts";
import { type CvlanRow, requireCvlan } from "../store/cvlans.ts";
import {
  addMember,
  countMembers,
  deleteGroup as deleteRow,
  groupNameTaken,
  insertGroup,
  listGroups as listRows,
  listMembers,
  membersOf,
  removeMember,
  renameGroup,
  requireGroup,
} from "../store/groups.ts";
import { type ActiveNode, lockActiveNode } from "../store/nodes.ts";
import { pageOf, splitPage } from "@cloudvlan/kit/page";
import { databaseNow } from "../store/time.ts";
import { publishNode } from "./publish.ts";
import { tenantOf } from "./request.ts";
import { groupOf } from "./wire.ts";

export async function createGroup(deps: RegistryDeps, request: CreateGroupRequest, caller: Caller): Promise<Group> {
  const tenantId = tenantOf(request);
  const id = newId("group", deps.clock.nowMs());
  return deps.db.tenant(tenantId, async (tx) => {
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, request.cvlanId);
    const row = await insertGroup(tx, deps.seals, {
      tenantId,
      id,
      cvlanId: cvlan.id,
      name: request.name,
      createdAt: await databaseNow(tx),
      createdBy: subjectOf(caller),
    });
    await deps.audit.record(tx, caller, {
      action: pathOf(GroupService.method.createGroup),
      objectId: id,
      outcome: "ok",
    });
    return groupOf(deps.clusterId, row);
  });
}

export async function listGroups(deps: RegistryDeps, request: ListGroupsRequest): Promise<ListGroupsResponse> {
  const tenantId = tenantOf(request);
  const page = pageOf("group", request.pagination);
  return deps.db.tenant(tenantId, async (tx) => {
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, request.cvlanId);
    const { rows, meta } = splitPage(page, await listRows(tx, tenantId, cvlan.id, page));
    const genuine = rows.filter(({ group }) => deps.seals.open("node_group", group));
    const groups = genuine.map(({ group, members }) =>
      create(GroupWithCountSchema, { group: groupOf(deps.clusterId, group), members: BigInt(members) }),
    );
    return create(ListGroupsResponseSchema, { groups, meta });
  });
}

export async function getGroup(deps: RegistryDeps, request: GetGroupRequest): Promise<GroupWithCount> {
  const tenantId = tenantOf(request);
  return deps.db.tenant(tenantId, async (tx) => {
    const row = await requireGroup(tx, deps.seals, tenantId, request.groupId);
    const members = BigInt(await countMembers(tx, tenantId, row.id));
    return create(GroupWithCountSchema, { group: groupOf(deps.clusterId, row), members });
  });
}

/** A repetition changes nothing. */
export async function updateGroup(deps: RegistryDeps, request: UpdateGroupRequest, caller: Caller): Promise<Group> {
  const tenantId = tenantOf(request);
  const { groupId, name } = request;
  try {
    return await deps.db.tenant(tenantId, async (tx) => {
      const current = await requireGroup(tx, deps.seals, tenantId, groupId, "update");
      const row = current.name === name ? current : await renameGroup(tx, deps.seals, current, name);
      await deps.audit.record(tx, caller, {
        action: pathOf(GroupService.method.updateGroup),
        objectId: row.id,
        outcome: "ok",
      });
      return groupOf(deps.clusterId, row);
    });
  } catch (error) {
    throw isUniqueViolation(error, "node_group_name") ? groupNameTaken(name) : error;
  }
}

export async function listGroupMembers(
  deps: RegistryDeps,
  request: ListGroupMembersRequest,
): Promise<ListGroupMembersResponse> {
  const tenantId = tenantOf(request);
  const page = pageOf("node", request.pagination);
  return deps.db.tenant(tenantId, async (tx) => {
    const group = await requireGroup(tx, deps.seals, tenantId, request.groupId);
    const { rows, meta } = splitPage(page, await listMembers(tx, tenantId, group.id, page));
    const genuine = rows.filter(({ member }) => deps.seals.open("group_member", member));
    const members = genuine.map(({ member: { groupId, nodeId } }) => ({ groupId, nodeId }));
    return create(ListGroupMembersResponseSchema, { members, meta });
  });
}

/** Members whose records one deletion signs anew: more would hold the transaction too long. */
const MOST_MEMBERS = 2000;

export async function deleteGroup(deps: RegistryDeps, request: DeleteGroupRequest, caller: Caller): Promise<void> {
  const tenantId = tenantOf(request);
  try {
    await deps.enrolKeys.signing(tenantId, async (tx, key) => {
      const group = await requireGroup(tx, deps.seals, tenantId, request.groupId);
      const cvlan = await requireCvlan(tx, deps.seals, tenantId, group.cvlanId);
      const members = await membersOf(tx, tenantId, group.id, MOST_MEMBERS + 1);
      if (members.length > MOST_MEMBERS) {
        throw new Refusal("conflict", "GROUP_TOO_LARGE", `the group has more than ${MOST_MEMBERS} members`, {
          objectId: group.id,
          remedy: "remove members first",
        });
      }
      for (const nodeId of members) {
        const active = await lockActiveNode(tx, deps.seals, key, tenantId, nodeId);
        await removeMember(tx, tenantId, group.id, nodeId);
        await setMembership(deps, tx, key, cvlan, active, group.id, false);
      }
      await deleteRow(tx, tenantId, group.id);
      await deps.audit.record(tx, caller, {
        action: pathOf(GroupService.method.deleteGroup),
        objectId: group.id,
        outcome: "ok",
      });
    });
  } catch (error) {
    if (!isForeignKeyViolation(error)) throw error;
    throw new Refusal("conflict", "GROUP_IN_USE", "a node became a member meanwhile", {
      objectId: request.groupId,
      remedy: "try again",
    });
  }
}

export async function addGroupMember(
  deps: RegistryDeps,
  request: AddGroupMemberRequest,
  caller: Caller,
): Promise<void> {
  await changeMember(deps, request, caller, pathOf(GroupService.method.addGroupMember), true);
}

export async function removeGroupMember(
  deps: RegistryDeps,
  request: RemoveGroupMemberRequest,
  caller: Caller,
): Promise<void> {
  await changeMember(deps, request, caller, pathOf(GroupService.method.removeGroupMember), false);
}

async function changeMember(
  deps: RegistryDeps,
  request: AddGroupMemberRequest | RemoveGroupMemberRequest,
  caller: Caller,
  action: string,
  isMember: boolean,
): Promise<void> {
  const tenantId = tenantOf(request);
  await deps.enrolKeys.signing(tenantId, async (tx, key) => {
    const group = await requireGroup(tx, deps.seals, tenantId, request.groupId);
    const active = await lockActiveNode(tx, deps.seals, key, tenantId, request.nodeId);
    if (active.node.cvlanId !== group.cvlanId) {
      throw new Refusal("invalid", "OTHER_CVLAN", "the node is a member of another cvlan than the group", {
        field: "node_id",
        remedy: "name a node of the group's cvlan",
      });
    }
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, group.cvlanId);
    if (isMember) await addMember(tx, deps.seals, tenantId, group.id, active.node.id);
    else await removeMember(tx, tenantId, group.id, active.node.id);
    await setMembership(deps, tx, key, cvlan, active, group.id, isMember);
    await deps.audit.record(tx, caller, { action, objectId: group.id, outcome: "ok" });
  });
}

/**
 * Signs a node's record anew when a change of membership changes it. Which groups it is in is read from its last record:
 * whoever took a row of the table away, or put an old one back, must not move a node by the next change.
 */
async function setMembership(
  deps: RegistryDeps,
  tx: Tx,
  key: SigningKey,
  cvlan: CvlanRow,
  { node, record }: ActiveNode,
  groupId: string,
  isMember: boolean,
): Promise<void> {
  const current = groupsAmong(deps.keys, node, record.selectors);
  if (current.includes(groupId) === isMember) return;
  const groupIds = isMember ? [...current, groupId] : current.filter((id) => id !== groupId);
  await publishNode(deps, tx, key, cvlan, node, groupIds, "node_id");
}
