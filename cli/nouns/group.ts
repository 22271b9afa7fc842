import { create, toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { GroupMemberSchema, type GroupWithCount, GroupWithCountSchema } from "@cloudvlan/gen/entity/v1/group_pb.js";
import {
  AddGroupMemberResponseSchema,
  CreateGroupResponseSchema,
  DeleteGroupResponseSchema,
  GroupService,
  ListGroupsResponseSchema,
  RemoveGroupMemberResponseSchema,
  UpdateGroupResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { remote, show, showDocument } from "../command.ts";
import type { Io } from "../io.ts";
import { byName, everyPage } from "../lookup.ts";
import { fields, table } from "../print.ts";
import type { Session } from "../session.ts";
import { findNode, membersOf } from "./node.ts";

/** `cvlan group …` */
export function groupCommands(program: Command, io: Io): void {
  const group = program.command("group").description("named sets of nodes, for the policy");

  group
    .command("list")
    .description("list the groups of a network")
    .addHelpText("after", "\nExample:\n  cvlan group list --cvlan office\n")
    .action(
      remote(io, async (session, run) => {
        const groups = await listGroups(session, io);
        show(run, ListGroupsResponseSchema, create(ListGroupsResponseSchema, { groups }), () =>
          table(
            ["NAME", "MEMBERS", "ID"],
            groups.map(({ group: each, members }) => [each?.name ?? "", String(members), each?.id ?? ""]),
          ),
        );
      }),
    );

  group
    .command("create <name>")
    .description("make a group")
    .addHelpText("after", "\nExample:\n  cvlan group create admins\n")
    .action(
      remote(io, async (session, run) => {
        const { id: cvlanId, tenantId } = await session.cvlan();
        const request = { tenantId, cvlanId, name: run.args[0] ?? "" };
        const response = await session.client(GroupService).createGroup(request, { signal: io.signal });
        show(run, CreateGroupResponseSchema, response, () => `${response.group?.name} ${response.group?.id}\n`);
      }),
    );

  group
    .command("show <group>")
    .description("a group and its members")
    .addHelpText("after", "\nExample:\n  cvlan group show admins\n")
    .action(
      remote(io, async (session, run) => {
        const groupId = await findGroupId(session, io, run.args[0] ?? "");
        const { tenantId, nodes } = await membersOf(session, io);
        const client = session.client(GroupService);
        const { group: found } = await client.getGroup({ tenantId, groupId }, { signal: io.signal });
        const members = await everyPage(
          (pagination) => client.listGroupMembers({ tenantId, groupId, pagination }, { signal: io.signal }),
          (page) => page.members,
        );
        const names = new Map(nodes.map(({ id, name }) => [id, name]));
        showDocument(
          run,
          () => ({
            ...(found && { group: toJson(GroupWithCountSchema, found) }),
            members: members.map((each) => toJson(GroupMemberSchema, each)),
          }),
          () =>
            fields([
              ["name", found?.group?.name ?? ""],
              ["id", groupId],
              ["members", members.map(({ nodeId }) => names.get(nodeId) ?? nodeId).join(" ")],
            ]),
        );
      }),
    );

  group
    .command("rename <group> <new-name>")
    .description("give a group another name; a policy file has to use it from then on")
    .addHelpText("after", "\nExample:\n  cvlan group rename admins operators\n")
    .action(
      remote(io, async (session, run) => {
        const [former = "", name = ""] = run.args;
        const tenantId = await session.tenantId();
        const groupId = await findGroupId(session, io, former);
        const response = await session
          .client(GroupService)
          .updateGroup({ tenantId, groupId, name }, { signal: io.signal });
        show(run, UpdateGroupResponseSchema, response, () => `${former} is now ${response.group?.name}\n`);
      }),
    );

  group
    .command("add <group> <node>")
    .description("put a node into a group")
    .addHelpText("after", "\nExample:\n  cvlan group add admins web1\n")
    .action(
      remote(io, async (session, run) => {
        const { tenantId, groupId, nodeId } = await memberOf(session, io, run.args);
        const response = await session
          .client(GroupService)
          .addGroupMember({ tenantId, groupId, nodeId }, { signal: io.signal });
        show(run, AddGroupMemberResponseSchema, response, () => `${run.args[1]} is in ${run.args[0]}\n`);
      }),
    );

  group
    .command("remove <group> <node>")
    .description("take a node out of a group")
    .addHelpText("after", "\nExample:\n  cvlan group remove admins web1\n")
    .action(
      remote(io, async (session, run) => {
        const { tenantId, groupId, nodeId } = await memberOf(session, io, run.args);
        const response = await session
          .client(GroupService)
          .removeGroupMember({ tenantId, groupId, nodeId }, { signal: io.signal });
        show(run, RemoveGroupMemberResponseSchema, response, () => `${run.args[1]} is not in ${run.args[0]}\n`);
      }),
    );

  group
    .command("delete <group>")
    .description("delete a group")
    .addHelpText("after", "\nExample:\n  cvlan group delete admins\n")
    .action(
      remote(io, async (session, run) => {
        const tenantId = await session.tenantId();
        const groupId = await findGroupId(session, io, run.args[0] ?? "");
        const response = await session.client(GroupService).deleteGroup({ tenantId, groupId }, { signal: io.signal });
        show(run, DeleteGroupResponseSchema, response, () => `${run.args[0]} is deleted\n`);
      }),
    );
}

/** Id of a group of the session's network by name or id. */
export async function findGroupId(session: Session, io: Io, name: string): Promise<string> {
  const groups = (await listGroups(session, io)).flatMap(({ group }) => group ?? []);
  return byName("group", groups, name).id;
}

async function memberOf(session: Session, io: Io, [group = "", node = ""]: readonly string[]) {
  const groupId = await findGroupId(session, io, group);
  const { tenantId, node: found } = await findNode(session, io, node);
  return { tenantId, groupId, nodeId: found.id };
}

async function listGroups(session: Session, io: Io): Promise<GroupWithCount[]> {
  const { id: cvlanId, tenantId } = await session.cvlan();
  return await everyPage(
    (pagination) => session.client(GroupService).listGroups({ tenantId, cvlanId, pagination }, { signal: io.signal }),
    (page) => page.groups,
  );
}
