import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import type { MapUpdate } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { connectTo } from "@cloudvlan/kit/client";
import type { Member } from "@cloudvlan/test/member";
import { Code, ConnectError, createClient } from "@connectrpc/connect";

const CAPABILITY_VERSION = 1;
/** How a stream ends for whoever may not have it any more. */
const REFUSED: readonly Code[] = [Code.Unauthenticated, Code.PermissionDenied];

/** A frame and when it came, by `performance.now()`. */
export interface Arrival {
  readonly at: number;
  readonly update: MapUpdate;
}

/** A member with an open stream of its map: its own certificate, its own connection. */
export interface Viewer {
  readonly member: Member;
  /** Frames that brought a change, in order, since they were last forgotten. */
  readonly arrivals: readonly Arrival[];
  /** Resolves when the whole first map has come. */
  readonly ready: Promise<void>;
  /** When the stream was refused, by `performance.now()`; undefined while it runs. */
  readonly refusedAt: number | undefined;
  /** Why the stream broke, when nobody refused or stopped it. */
  readonly fault: Error | undefined;
  forget(): void;
  stop(): void;
}

export function isRefused(error: unknown): boolean {
  return error instanceof ConnectError && REFUSED.includes(error.code);
}

export function watchAs(url: string, roots: readonly Uint8Array[], member: Member): Viewer {
  const connection = connectTo(url, { roots, ...member.credential });
  const stopping = new AbortController();
  const whole = Promise.withResolvers<void>();
  let arrivals: Arrival[] = [];
  let refusedAt: number | undefined;
  let fault: Error | undefined;
  const read = async (): Promise<void> => {
    const request = { capabilityVersion: CAPABILITY_VERSION };
    const options = { signal: stopping.signal, timeoutMs: 0 };
    for await (const { update } of createClient(NetmapService, connection).watch(request, options)) {
      if (!update) continue;
      if (update.nodes.length + update.removedNodes.length > 0) arrivals.push({ at: performance.now(), update });
      if (!update.more) whole.resolve();
    }
    throw new Error("the stream ended");
  };
  read().catch((error: unknown) => {
    if (stopping.signal.aborted) return;
    if (isRefused(error)) refusedAt = performance.now();
    else fault = error instanceof Error ? error : new Error(String(error));
    whole.reject(error);
  });
  return {
    member,
    get arrivals() {
      return arrivals;
    },
    ready: whole.promise,
    get refusedAt() {
      return refusedAt;
    },
    get fault() {
      return fault;
    },
    forget: () => {
      arrivals = [];
    },
    stop: () => {
      stopping.abort();
      connection.close();
    },
  };
}
