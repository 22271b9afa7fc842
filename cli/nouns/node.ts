import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  type Node,
  NodeKindSchema,
  NodeSchema,
  NodeStatus,
  NodeStatusSchema,
} from "@cloudvlan/gen/entity/v1/node_pb.js";
import { NodePresenceSchema } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import {
  NodeService,
  RevokeNodeResponseSchema,
  UpdateNodeResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { tagPairs } from "../args.ts";
import { remote, show, showDocument } from "../command.ts";
import { UsageError } from "../exit.ts";
import type { Io } from "../io.ts";
import { byName, everyPage } from "../lookup.ts";
import { onlineText, presenceOf } from "../presence.ts";
import { ago, fields, table, word } from "../print.ts";
import type { Session } from "../session.ts";

/** `cvlan node …` */
export function nodeCommands(program: Command, io: Io): void {
  const node = program.command("node").description("machines of a network");

  node
    .command("list")
    .description("list the nodes of a network")
    .addHelpText("after", "\nExample:\n  cvlan node list --cvlan office\n")
    .action(
      remote(io, async (session, run) => {
        const { tenantId, cvlanId, nodes } = await membersOf(session, io);
        const nodeIds = nodes.map(({ id }) => id);
        const presence = await presenceOf(session, run, { tenantId, cvlanId }, nodeIds);
        showDocument(
          run,
          () => ({
            nodes: nodes.map((each) => toJson(NodeSchema, each)),
            ...(presence && { presence: [...presence.values()].map((each) => toJson(NodePresenceSchema, each)) }),
          }),
          () =>
            table(
              ["NAME", "ADDRESS", "STATUS", "ONLINE", "KIND", "TAGS", "JOINED"],
              nodes.map((each) => [
                each.name,
                each.addresses[0] ?? "",
                statusWord(each),
                presence ? onlineText(each, presence.get(each.id), io.clock.nowMs()) : "?",
                kindWord(each),
                tagText(each),
                ago(each.joinedAt, io.clock.nowMs()),
              ]),
            ),
        );
      }),
    );

  node
    .command("show <name>")
    .description("everything about one node")
    .addHelpText("after", "\nExample:\n  cvlan node show web1\n")
    .action(
      remote(io, async (session, run) => {
        const { tenantId, node: found } = await findNode(session, io, run.args[0] ?? "");
        const request = { tenantId, nodeId: found.id };
        const response = await session.client(NodeService).getNode(request, { signal: io.signal });
        const presence = await presenceOf(session, run, { tenantId, cvlanId: found.cvlanId }, [found.id]);
        const latest = presence?.get(found.id);
        showDocument(
          run,
          () => ({
            node: toJson(NodeSchema, response.node ?? found),
            ...(latest && { presence: toJson(NodePresenceSchema, latest) }),
          }),
          () => {
            const now = io.clock.nowMs();
            const online = presence ? onlineText(found, latest, now) : "?";
            return describe(response.node ?? found, online, now);
          },
        );
      }),
    );

  node
    .command("rename <name> <new-name>")
    .description("give a node another name")
    .addHelpText("after", "\nExample:\n  cvlan node rename web1 web2\n")
    .action(
      remote(io, async (session, run) => {
        const [name = "", newName = ""] = run.args;
        const { tenantId, node: found } = await findNode(session, io, name);
        const request = { tenantId, nodeId: found.id, name: newName };
        const response = await session.client(NodeService).updateNode(request, { signal: io.signal });
        show(run, UpdateNodeResponseSchema, response, () => `${name} is now ${response.node?.name ?? newName}\n`);
      }),
    );

  node
    .command("tag <name> [tags...]")
    .description("set the tags of a node: key=value adds or changes, key- removes")
    .addHelpText("after", "\nExample:\n  cvlan node tag web1 env=prod tier=front old-\n")
    .action(
      remote(io, async (session, run) => {
        const [name = "", ...changes] = run.args;
        if (changes.length === 0) throw new UsageError("no tag is given", "add key=value or key-");
        const { tenantId, node: found } = await findNode(session, io, name);
        const removed = new Set(
          changes.filter((change) => /^[^=]+-$/.test(change)).map((change) => change.slice(0, -1)),
        );
        const set = tagPairs(changes.filter((change) => !/^[^=]+-$/.test(change)));
        const kept = Object.entries(found.tags).filter(([key]) => !removed.has(key));
        const request = { tenantId, nodeId: found.id, tags: { tags: { ...Object.fromEntries(kept), ...set } } };
        const response = await session.client(NodeService).updateNode(request, { signal: io.signal });
        show(
          run,
          UpdateNodeResponseSchema,
          response,
          () => `${name}: ${tagText(response.node ?? found) || "no tags"}\n`,
        );
      }),
    );

  node
    .command("revoke <name>")
    .description("end a node's membership: peers drop it and every listener refuses it")
    .addHelpText("after", "\nExample:\n  cvlan node revoke web1\n")
    .action(
      remote(io, async (session, run) => {
        const { tenantId, node: found } = await findNode(session, io, run.args[0] ?? "");
        const request = { tenantId, nodeId: found.id };
        const response = await session.client(NodeService).revokeNode(request, { signal: io.signal });
        show(run, RevokeNodeResponseSchema, response, () => `${found.name} is revoked\n`);
      }),
    );
}

/** A node of the session's network by name or id. */
export async function findNode(session: Session, io: Io, name: string): Promise<{ tenantId: string; node: Node }> {
  const { tenantId, nodes } = await membersOf(session, io);
  // A revoked node's name may be in use again.
  const living = nodes.filter(({ id, status }) => id === name || status !== NodeStatus.REVOKED);
  return { tenantId, node: byName("node", living, name) };
}

/** The session's network and its nodes. */
export async function membersOf(
  session: Session,
  io: Io,
): Promise<{ tenantId: string; cvlanId: string; nodes: Node[] }> {
  const { id: cvlanId, tenantId } = await session.cvlan();
  const nodes = await everyPage(
    (pagination) => session.client(NodeService).listNodes({ tenantId, cvlanId, pagination }, { signal: io.signal }),
    (page) => page.nodes,
  );
  return { tenantId, cvlanId, nodes };
}

function describe(node: Node, online: string, nowMs: number): string {
  return fields([
    ["name", node.name],
    ["id", node.id],
    ["network", node.cvlanId],
    ["status", statusWord(node)],
    ["online", online],
    ["kind", kindWord(node)],
    ["addresses", node.addresses.join(" ")],
    ["wireguard key", Buffer.from(node.wireguardPublicKey).toString("base64")],
    ["tags", tagText(node)],
    ["groups", node.groupIds.join(" ")],
    ["routes", node.routes.map(({ prefix }) => prefix).join(" ")],
    ["joined", ago(node.joinedAt, nowMs)],
    ["revoked", ago(node.revokedAt, nowMs)],
  ]);
}

function statusWord({ status }: Node): string {
  return word(NodeStatusSchema.value[status]?.localName);
}

function kindWord({ kind }: Node): string {
  return word(NodeKindSchema.value[kind]?.localName);
}

function tagText({ tags }: Node): string {
  return Object.entries(tags)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(" ");
}
