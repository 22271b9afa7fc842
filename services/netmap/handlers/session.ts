import type { MapPosition } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import type { NodeId, TenantId } from "@cloudvlan/kit/ids";
import type { CvlanMap, Position } from "../live/cvlan-map.ts";
import type { Maps } from "../live/maps.ts";
import { nodeRevoked, notReady } from "../live/refusals.ts";
import type { Viewer } from "../live/viewer.ts";
import type { Locate } from "./locate.ts";

/** How long a stream waits for the node's own record, or for a worker to get where the node already stands, milliseconds. */
const PATIENCE_MS = 10_000;

/** A member's place on the map of its cvlan; disposed of when the call ends. */
export interface Session extends Disposable {
  readonly map: CvlanMap;
  readonly viewer: Viewer;
}

/** @throws Refusal `denied` for a node that is no member, `unavailable` when the map is not there yet. */
export async function openSession(
  maps: Maps,
  locate: Locate,
  node: { tenantId: TenantId; nodeId: NodeId },
  position: MapPosition | undefined,
  signal: AbortSignal,
): Promise<Session> {
  const lease = await maps.open(await locate(node));
  try {
    const { map } = lease;
    const at: Position = {
      epoch: position?.epoch ?? 0n,
      revision: position?.revision ?? 0n,
      keysetVersion: position?.keysetVersion ?? 0n,
    };
    await settle(map, node.nodeId, at, signal);
    const viewer = map.attach(node.nodeId, at);
    return {
      map,
      viewer,
      [Symbol.dispose]: () => {
        map.detach(viewer);
        lease[Symbol.dispose]();
      },
    };
  } catch (error) {
    lease[Symbol.dispose]();
    throw error;
  }
}

/** Another worker may have served the node before and be ahead of this one. */
async function settle(map: CvlanMap, nodeId: NodeId, at: Position, signal: AbortSignal): Promise<void> {
  await map.followKeyset(at.keysetVersion);
  const isThere = () => at.epoch !== map.epoch || at.revision <= map.revision;
  if (!isThere()) await map.catchUp();
  if (!(await map.until(isThere, PATIENCE_MS, signal))) {
    throw new Refusal(
      "unavailable",
      "MAP_BEHIND",
      `the node stands at revision ${at.revision}, the map at ${map.revision}`,
      {
        remedy: "try again; when the control plane was restored from a backup, its operator has to raise the epoch",
      },
    );
  }
  if (map.wasRemoved(nodeId)) throw nodeRevoked(nodeId);
  const isDecided = () => (map.has(nodeId) && map.isServed) || map.wasRemoved(nodeId);
  if (!(await map.until(isDecided, PATIENCE_MS, signal))) throw notReady(nodeId);
  if (map.wasRemoved(nodeId)) throw nodeRevoked(nodeId);
}
