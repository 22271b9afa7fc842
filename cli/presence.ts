import { Code, ConnectError } from "@connectrpc/connect";
import { type Node, NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { type NodePresence, PresenceService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import type { Run } from "./command.ts";
import { ago } from "./print.ts";
import type { Session } from "./session.ts";

/** Nodes of one request at most. */
const BATCH = 1_000;

/** What the controller knows of nodes being there; undefined, with a word to people, when nobody can say. */
export async function presenceOf(
  session: Session,
  { io, options }: Pick<Run<object>, "io" | "options">,
  scope: { readonly tenantId: string; readonly cvlanId: string },
  nodeIds: readonly string[],
): Promise<ReadonlyMap<string, NodePresence> | undefined> {
  const found = new Map<string, NodePresence>();
  try {
    for (let at = 0; at < nodeIds.length; at += BATCH) {
      const request = { ...scope, nodeIds: nodeIds.slice(at, at + BATCH) };
      const { nodes } = await session.client(PresenceService).listPresence(request, { signal: io.signal });
      for (const node of nodes) found.set(node.nodeId, node);
    }
  } catch (error) {
    // An older controller, or one whose netmap is away: the list itself stands.
    const cannotSay = error instanceof ConnectError && [Code.Unimplemented, Code.Unavailable].includes(error.code);
    if (!cannotSay) throw error;
    if (!options.json) io.err(`cvlan: who is online cannot be told: ${error.rawMessage}\n`);
    return undefined;
  }
  return found;
}

/** `online`, or how long ago the node was there; nothing for one that is no member any more. */
export function onlineText(node: Node, presence: NodePresence | undefined, nowMs: number): string {
  if (node.status === NodeStatus.REVOKED) return "";
  if (!presence) return "never";
  return presence.online ? "online" : ago(presence.lastSeen, nowMs);
}
