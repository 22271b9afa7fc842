import type { Tx } from "@cloudvlan/kit/db";
import { and, eq, inArray, isNull, lt, or, sql } from "drizzle-orm";
import type { Scope } from "./domain/scope.ts";
import { presences, presenceWorkers } from "./schema.ts";

/** A stream as it is written down. */
export interface StoredStream {
  readonly cvlanId: string;
  readonly nodeId: string;
  /** Map revision at which the node stood when it opened the stream. */
  readonly revision: bigint;
}

/** Whether a node has an open stream at any worker. Times are the database's. */
export interface NodePresence {
  readonly nodeId: string;
  readonly online: boolean;
  readonly since: Date;
  /** When the stream was last known to be open. */
  readonly lastSeen: Date;
  readonly revision: bigint;
}

const NOW = sql<Date>`now()`;

/** Says that a worker is alive for so many seconds from now on, and forgets those that died long ago. */
export async function beat(tx: Tx, worker: string, seconds: number): Promise<void> {
  const expiresAt = sql<Date>`now() + make_interval(secs => ${seconds})`;
  await tx
    .insert(presenceWorkers)
    .values({ worker, seenAt: NOW, expiresAt })
    .onConflictDoUpdate({ target: [presenceWorkers.worker], set: { seenAt: NOW, expiresAt } });
  await tx.delete(presenceWorkers).where(lt(presenceWorkers.expiresAt, sql`now() - interval '30 days'`));
}

/**
 * Writes streams that opened at a worker, in place of the nodes' former ones.
 * @param ended true for those that ended meanwhile: they never hide a stream that is open at another worker.
 */
export async function writeOpened(
  tx: Tx,
  tenantId: string,
  worker: string,
  streams: readonly StoredStream[],
  ended: boolean,
): Promise<void> {
  const written = { worker, since: NOW, endedAt: ended ? NOW : null };
  const overwrites = ended ? or(eq(presences.worker, worker), sql`${presences.endedAt} is not null`) : undefined;
  await tx
    .insert(presences)
    .values(streams.map((stream) => ({ tenantId, ...stream, ...written })))
    .onConflictDoUpdate({
      target: [presences.tenantId, presences.cvlanId, presences.nodeId],
      set: { ...written, revision: sql`excluded.revision` },
      ...(overwrites && { setWhere: overwrites }),
    });
}

/** Writes that streams of a worker ended, where it still has the latest. */
export async function writeEnded(
  tx: Tx,
  tenantId: string,
  worker: string,
  streams: readonly StoredStream[],
): Promise<void> {
  const nodeIds = streams.map(({ nodeId }) => nodeId);
  await tx
    .update(presences)
    .set({ endedAt: NOW })
    .where(
      and(
        eq(presences.tenantId, tenantId),
        inArray(presences.nodeId, nodeIds),
        eq(presences.worker, worker),
        isNull(presences.endedAt),
      ),
    );
}

/** What is known of these nodes of a cvlan; nothing of those that never opened a stream. */
export async function presenceOf(
  tx: Tx,
  { tenantId, cvlanId }: Scope,
  nodeIds: readonly string[],
): Promise<Map<string, NodePresence>> {
  if (nodeIds.length === 0) return new Map();
  const rows = await tx
    .select({
      nodeId: presences.nodeId,
      since: presences.since,
      endedAt: presences.endedAt,
      revision: presences.revision,
      seenAt: presenceWorkers.seenAt,
      isAlive: sql<boolean | null>`${presenceWorkers.expiresAt} > now()`,
    })
    .from(presences)
    .leftJoin(presenceWorkers, eq(presenceWorkers.worker, presences.worker))
    .where(
      and(eq(presences.tenantId, tenantId), eq(presences.cvlanId, cvlanId), inArray(presences.nodeId, [...nodeIds])),
    );
  return new Map(
    rows.map(({ nodeId, since, endedAt, revision, seenAt, isAlive }) => {
      const lastSeen = endedAt ?? (seenAt && seenAt > since ? seenAt : since);
      return [nodeId, { nodeId, online: endedAt === null && isAlive === true, since, lastSeen, revision }];
    }),
  );
}
