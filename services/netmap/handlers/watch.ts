import { randomInt } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import type { MapUpdate } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import {
  NetmapService,
  type PollRequest,
  WatchResponseSchema,
  type WatchRequest,
} from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import type { Caller } from "@cloudvlan/kit/caller";
import type { Clock } from "@cloudvlan/kit/clock";
import type { NodeId, TenantId } from "@cloudvlan/kit/ids";
import type { FrameStream } from "@cloudvlan/kit/server";
import type { NetmapConfig } from "../config.ts";
import type { Maps } from "../live/maps.ts";
import type { Presence } from "../live/presence.ts";
import type { Locate } from "./locate.ts";
import { openSession } from "./session.ts";

export interface WatchDeps {
  readonly config: NetmapConfig;
  readonly clock: Clock;
  readonly maps: Maps;
  readonly presence: Presence;
  readonly locate: Locate;
}

/** A head that is due waits for the keyset; the stream is woken when it is there. */
const UNSERVED_WAIT_MS = 1_000;

/** The map stream of a node, as frames that are ready to be written. */
export function watchStream(
  deps: WatchDeps,
): FrameStream<typeof NetmapService.method.watch.input, typeof NetmapService.method.watch.output> {
  return {
    method: NetmapService.method.watch,
    open: (request, caller, signal) => watch(deps, request, caller, signal),
  };
}

async function* watch(
  deps: WatchDeps,
  request: WatchRequest,
  caller: Caller,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { workload } = caller;
  if (workload.kind !== "node") throw new Error("the stream runs without authorisation");
  using session = await openSession(deps.maps, deps.locate, workload, request.position, signal);
  session.viewer.continuesHeads = request.continuedHeads;
  using _open = deps.presence.opened(session.map.scope, workload.nodeId, request.position?.revision ?? 0n);
  let due = deps.clock.monotonicMs();
  while (!signal.aborted) {
    const now = deps.clock.monotonicMs();
    const frames = session.map.nextFrames(session.viewer, now >= due);
    if (frames) {
      due = now + headPause(deps.config);
      yield* frames;
    } else {
      await session.viewer.wait(session.map.isServed ? due - now : UNSERVED_WAIT_MS, signal);
    }
  }
}

/** Milliseconds until the next head: nine tenths to all of the longest pause, so that heads of many streams stay apart. */
function headPause({ head_seconds }: NetmapConfig): number {
  const longest = Math.round(head_seconds * 1000);
  return randomInt(Math.floor(longest * 0.9), longest + 1);
}

/** The same in one answer. */
export async function poll(
  deps: WatchDeps,
  request: PollRequest,
  node: { tenantId: TenantId; nodeId: NodeId },
  signal: AbortSignal,
): Promise<MapUpdate[]> {
  using session = await openSession(deps.maps, deps.locate, node, request.position, signal);
  deps.presence.polled(session.map.scope, node.nodeId, request.position?.revision ?? 0n);
  const frames = session.map.nextFrames(session.viewer, true) ?? [];
  return frames.flatMap((frame) => fromBinary(WatchResponseSchema, frame).update ?? []);
}
