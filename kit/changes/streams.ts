import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Change, ChangeSchema } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { and, asc, eq, gt, isNull, sql } from "drizzle-orm";
import { systemClock } from "../clock/index.ts";
import type { Tx } from "../db/index.ts";
import { Refusal } from "../errors/index.ts";
import type { TenantId } from "../ids/index.ts";
import type { ChangeBatch, ChangeStreamOptions, ChangeStreams } from "./index.ts";
import { change, changeStream } from "./tables.ts";
import { wakers } from "./wakers.ts";

/** Changes a batch holds at most; a consumer far behind gets several. */
const BATCH_CHANGES = 1000;
/** Bytes of change bodies after which a batch ends: well inside the message limit of a listener. */
const BATCH_BYTES = 512 * 1024;
/** Rows of one INSERT. */
const INSERT_ROWS = 1000;

/** Change streams kept in the service's own schema. */
export function changeStreams({ db, service, heartbeatMs }: ChangeStreamOptions): ChangeStreams {
  const channel = `${service}_changes`;
  const waiting = wakers(db, channel);

  async function append(
    tx: Tx,
    stream: string,
    changes: readonly { objectId: string; change: Change["change"] }[],
  ): Promise<bigint> {
    if (changes.length === 0) throw new Error("an append without a change");
    const by = BigInt(changes.length);
    const [row] = await tx
      .insert(changeStream)
      .values({ stream, revision: by })
      .onConflictDoUpdate({
        target: [changeStream.tenantId, changeStream.stream],
        set: { revision: sql`${changeStream.revision} + ${by}` },
      })
      .returning({ revision: changeStream.revision, tenantId: changeStream.tenantId });
    if (!row) throw new Error("the stream's counter did not answer");
    const latest = new Map<string, { stream: string; objectId: string; revision: bigint; body: Uint8Array }>();
    changes.forEach(({ objectId, change: of }, index) => {
      const body = toBinary(ChangeSchema, create(ChangeSchema, { change: of }));
      latest.set(objectId, { stream, objectId, revision: row.revision - by + BigInt(index + 1), body });
    });
    const rows = [...latest.values()];
    for (let at = 0; at < rows.length; at += INSERT_ROWS) {
      await tx
        .insert(change)
        .values(rows.slice(at, at + INSERT_ROWS))
        .onConflictDoUpdate({
          target: [change.tenantId, change.stream, change.objectId],
          set: { revision: sql`excluded.revision`, body: sql`excluded.body` },
        });
    }
    await tx.execute(sql`select pg_notify(${channel}, ${topicOf(row.tenantId ?? undefined, stream)})`);
    return row.revision;
  }

  async function read(tenantId: TenantId | undefined, stream: string, since: bigint): Promise<ChangeBatch> {
    const work = (tx: Tx): Promise<ChangeBatch> => readBatch(tx, tenantId, stream, since);
    return tenantId === undefined ? db.platform(work) : db.tenant(tenantId, work);
  }

  async function* watch(
    tenantId: TenantId | undefined,
    stream: string,
    since: bigint,
    signal: AbortSignal,
  ): AsyncGenerator<ChangeBatch> {
    if (signal.aborted) return;
    await using waker = await waiting.join(topicOf(tenantId, stream), signal);
    let cursor = since;
    let spokenAt = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      const batch = await read(tenantId, stream, cursor);
      cursor = batch.revision;
      const heartbeatIn = spokenAt + heartbeatMs - systemClock.monotonicMs();
      if (batch.changes.length > 0 || heartbeatIn <= 0) {
        spokenAt = systemClock.monotonicMs();
        yield batch;
      } else {
        await waker.wait(heartbeatIn);
      }
    }
  }

  return { append, read, watch };
}

function topicOf(tenantId: string | undefined, stream: string): string {
  return `${tenantId ?? "platform"} ${stream}`;
}

/** One statement, so one snapshot: the revision and the changes up to it agree. */
async function readBatch(tx: Tx, tenantId: TenantId | undefined, stream: string, since: bigint): Promise<ChangeBatch> {
  const ofStream = tenantId === undefined ? isNull(changeStream.tenantId) : eq(changeStream.tenantId, tenantId);
  const ofChange = tenantId === undefined ? isNull(change.tenantId) : eq(change.tenantId, tenantId);
  const rows = await tx
    .select({ head: changeStream.revision, objectId: change.objectId, revision: change.revision, body: change.body })
    .from(changeStream)
    .leftJoin(change, and(ofChange, eq(change.stream, stream), gt(change.revision, since)))
    .where(and(ofStream, eq(changeStream.stream, stream)))
    .orderBy(asc(change.revision))
    .limit(BATCH_CHANGES);
  const head = rows[0]?.head ?? 0n;
  if (since > head) {
    throw new Refusal("conflict", "CURSOR_AHEAD", `the stream stands at ${head}, before the cursor ${since}`, {
      field: "since",
      remedy: "the owner was restored to an earlier state; read from 0",
    });
  }
  const changes: Change[] = [];
  let size = 0;
  for (const { objectId, revision, body } of rows) {
    if (objectId === null || revision === null || body === null) continue;
    if (changes.length > 0 && size + body.length > BATCH_BYTES) return { changes, revision: lastOf(changes) };
    size += body.length;
    changes.push(Object.assign(fromBinary(ChangeSchema, body), { objectId, revision }));
  }
  return { changes, revision: changes.length < BATCH_CHANGES ? head : lastOf(changes) };
}

function lastOf(changes: readonly Change[]): bigint {
  return changes.at(-1)?.revision ?? 0n;
}
