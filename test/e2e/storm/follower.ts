import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import {
  type MapUpdate,
  MapHeadSchema,
  type NodeRecord,
  NodeRecordSchema,
  type RuleRecord,
  RuleRecordSchema,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type MapPosition, NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { type Connection, connectTo } from "@cloudvlan/kit/client";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import type { Member } from "../../contract/member.ts";

const PAUSE_MS = 100;
/** How a stream ends when its server dies, starts or drains. */
const BROKEN: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Canceled, Code.Aborted, Code.DeadlineExceeded]);

/** What a node knows. */
export interface NodeMap {
  readonly nodes: ReadonlyMap<string, NodeRecord>;
  /** By name. */
  readonly rules: ReadonlyMap<string, RuleRecord>;
  readonly revision: bigint;
}

/**
 * A member that keeps its map by the stream, and resumes from where it stands whenever the stream breaks. It checks that
 * every step continues what it holds and that nothing comes twice; signatures are the contract suite's matter.
 */
export interface Follower extends NodeMap {
  readonly name: string;
  /** Streams that were opened. */
  readonly streams: number;
  /** Steps that told everything anew. */
  readonly fullMaps: number;
  /** Steps that brought a change. */
  readonly changes: number;
  /** What was out of order; the follower has stopped. */
  readonly fault: Error | undefined;
  stop(): Promise<void>;
}

function payloadOf(bytes: Uint8Array): Uint8Array {
  return fromBinary(SignedSchema, bytes).payload;
}

class Mirror implements NodeMap {
  readonly nodes = new Map<string, NodeRecord>();
  readonly rules = new Map<string, RuleRecord>();
  revision = 0n;
  epoch = 0n;
  keysetVersion = 0n;
  fullMaps = 0;
  changes = 0;

  get position(): Omit<MapPosition, "$typeName"> {
    return { epoch: this.epoch, revision: this.revision, keysetVersion: this.keysetVersion };
  }

  /** Takes a whole step; only the first one of a stream may tell everything anew. */
  take(step: readonly MapUpdate[], isFirst: boolean): void {
    const [first] = step;
    const last = step.at(-1);
    assert(first && last);
    const changed = step.some(
      ({ nodes, rules, removedNodes, removedRules }) =>
        nodes.length + rules.length + removedNodes.length + removedRules.length > 0,
    );
    if (first.full) {
      assert(isFirst, "everything was told anew in the middle of a stream");
      assert.equal(first.previous, 0n);
      assert(last.revision >= this.revision, `a full map of ${last.revision} after ${this.revision}`);
      this.fullMaps += 1;
    } else {
      assert.equal(first.previous, this.revision, "a step that does not continue the map");
      if (changed) assert(last.revision > this.revision, `${this.revision} was told twice`);
      else assert(last.revision >= this.revision, "the map went back");
      if (changed) this.changes += 1;
    }
    this.#takeNodes(step, first.full);
    this.#takeRules(step, first.full);
    const head = fromBinary(MapHeadSchema, payloadOf(last.head));
    assert.equal(head.revision, last.revision);
    this.revision = last.revision;
    this.epoch = head.epoch;
    this.keysetVersion = head.keysetVersion;
  }

  #takeNodes(step: readonly MapUpdate[], full: boolean): void {
    const former = new Map(this.nodes);
    if (full) this.nodes.clear();
    for (const id of step.flatMap(({ removedNodes }) => removedNodes)) {
      assert(this.nodes.delete(id), `${id} was removed and not held`);
    }
    for (const bytes of step.flatMap(({ nodes }) => nodes)) {
      const record = fromBinary(NodeRecordSchema, payloadOf(bytes));
      const held = former.get(record.nodeId)?.recordRevision ?? 0n;
      const isNewer = full ? record.recordRevision >= held : record.recordRevision > held;
      assert(isNewer, `${record.name} came as ${record.recordRevision} after ${held}`);
      this.nodes.set(record.nodeId, record);
    }
  }

  #takeRules(step: readonly MapUpdate[], full: boolean): void {
    if (full) this.rules.clear();
    for (const id of step.flatMap(({ removedRules }) => removedRules)) {
      const held = [...this.rules.values()].find(({ ruleId }) => Buffer.compare(ruleId, id) === 0);
      assert(held && this.rules.delete(held.name), "a rule was removed and not held");
    }
    for (const bytes of step.flatMap(({ rules }) => rules)) {
      const record = fromBinary(RuleRecordSchema, payloadOf(bytes));
      const held = this.rules.get(record.name)?.policyVersion ?? 0n;
      assert(record.policyVersion > held, `rule ${record.name} came as ${record.policyVersion} after ${held}`);
      this.rules.set(record.name, record);
    }
  }
}

async function readStream(connection: Connection, mirror: Mirror, signal: AbortSignal): Promise<void> {
  const request = { position: mirror.position, capabilityVersion: 1 };
  let step: MapUpdate[] = [];
  let isFirst = true;
  for await (const { update } of createClient(NetmapService, connection).watch(request, { signal, timeoutMs: 0 })) {
    assert(update);
    step.push(update);
    if (update.more) continue;
    mirror.take(step, isFirst);
    step = [];
    isFirst = false;
  }
}

function isBroken(error: unknown): boolean {
  return error instanceof ConnectError && BROKEN.has(error.code);
}

/** Follows the map of a member until stopped. */
export function follow(url: string, roots: readonly Uint8Array[], member: Member): Follower {
  const mirror = new Mirror();
  const stopping = new AbortController();
  const connection = connectTo(url, { roots, ...member.credential });
  let streams = 0;
  let fault: Error | undefined;
  const running = (async () => {
    while (!stopping.signal.aborted && fault === undefined) {
      streams += 1;
      try {
        await readStream(connection, mirror, stopping.signal);
      } catch (error) {
        if (!isBroken(error)) fault = new Error(`the stream of ${member.name} is out of order`, { cause: error });
      }
      await delay(PAUSE_MS);
    }
  })();
  return {
    name: member.name,
    nodes: mirror.nodes,
    rules: mirror.rules,
    get revision() {
      return mirror.revision;
    },
    get fullMaps() {
      return mirror.fullMaps;
    },
    get changes() {
      return mirror.changes;
    },
    get streams() {
      return streams;
    },
    get fault() {
      return fault;
    },
    stop: async () => {
      stopping.abort();
      await running;
      connection.close();
    },
  };
}

/** The map of a member as it is told to somebody who knows nothing. */
export async function mapOf(connection: Connection): Promise<NodeMap> {
  const mirror = new Mirror();
  const { updates } = await createClient(NetmapService, connection).poll({ capabilityVersion: 1 });
  mirror.take(updates, true);
  return mirror;
}

/** Every record of a map, byte for byte, in order. */
export function recordsOf({ nodes, rules }: NodeMap): string[] {
  const hex = <D extends DescMessage>(schema: D, records: Iterable<MessageShape<D>>): string[] =>
    [...records].map((record) => Buffer.from(toBinary(schema, record)).toString("hex"));
  return [...hex(NodeRecordSchema, nodes.values()), ...hex(RuleRecordSchema, rules.values())].toSorted();
}
