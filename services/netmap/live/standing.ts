import type { StalePolicy } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import type { Database } from "@cloudvlan/kit/db";
import type { HeadSettings } from "../domain/head-settings.ts";
import type { Scope } from "../domain/scope.ts";
import type { Presence } from "../domain/why/answer.ts";
import { presenceOf } from "../presence-store.ts";

/** How nodes stand with the controller: whether they are heard of, and what the map they hold lets them do. */
export interface Standing {
  presenceOf(scope: Scope, nodeIds: readonly string[]): Promise<ReadonlyMap<string, Presence>>;
  /** What a node does by now that was last heard of then; undefined while its map holds. */
  staleSince(settings: HeadSettings, lastSeenMs: number): StalePolicy | undefined;
}

export function standing({ clock, db }: { readonly clock: Clock; readonly db: Database }): Standing {
  return {
    presenceOf: async (scope, nodeIds) => {
      const rows = await db.tenant(scope.tenantId, (tx) => presenceOf(tx, scope, nodeIds));
      return new Map([...rows].map(([id, { online, lastSeen }]) => [id, { online, lastSeenMs: lastSeen.getTime() }]));
    },
    // The newest head that it may have was made before it was last heard of.
    staleSince: ({ mapTtlSeconds, stalePolicy }, lastSeenMs) =>
      lastSeenMs + mapTtlSeconds * 1000 < clock.nowMs() ? stalePolicy : undefined,
  };
}
