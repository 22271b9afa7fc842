import type { Change } from "@cloudvlan/gen/entity/v1/events_pb.js";
import type { ServiceName } from "../caller/index.ts";
import type { Database, Tx } from "../db/index.ts";
import type { TenantId } from "../ids/index.ts";

export { changeStreams } from "./streams.ts";

/** What a stream says: a batch of changes and where the stream stands. A batch without changes is a sign of life. */
export interface ChangeBatch {
  readonly changes: Change[];
  readonly revision: bigint;
}

/**
 * Change streams of one service. A stream belongs to a tenant, or to the platform (`undefined`); its revision grows by one
 * with each appended change, in commit order and without gaps. Per object only the latest change is kept.
 */
export interface ChangeStreams {
  /** Appends inside the transaction of the write it tells of. Returns the stream's new revision. */
  append(tx: Tx, stream: string, changes: readonly { objectId: string; change: Change["change"] }[]): Promise<bigint>;
  /**
   * Latest change of each object that changed after `since`, in revision order; from 0, a snapshot. A long answer comes in
   * parts: the next one starts at the batch's `revision`.
   * @throws Refusal `conflict` CURSOR_AHEAD when `since` is past the stream: its owner was restored to an earlier state.
   */
  read(tenantId: TenantId | undefined, stream: string, since: bigint): Promise<ChangeBatch>;
  /**
   * `read` at once, empty or not, then again after each commit, until the signal; an empty batch at least each
   * `heartbeatMs`.
   */
  watch(tenantId: TenantId | undefined, stream: string, since: bigint, signal: AbortSignal): AsyncIterable<ChangeBatch>;
}

export interface ChangeStreamOptions {
  readonly db: Database;
  /** Owner of the streams; its workers hear of each other's changes on the channel `<service>_changes`. */
  readonly service: ServiceName;
  /** Milliseconds between signs of life. */
  readonly heartbeatMs: number;
}
