import assert from "node:assert/strict";
import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type DnsRecord,
  DnsRecordSchema,
  type EndpointHint,
  KeyRole,
  type Keyset,
  KeysetSchema,
  type MapHead,
  MapHeadSchema,
  type MapUpdate,
  type NodeRecord,
  NodeRecordSchema,
  type RelayMap,
  RelayMapSchema,
  type RuleRecord,
  RuleRecordSchema,
  type Signed,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import {
  MapPositionSchema,
  type WatchRequest,
  WatchRequestSchema,
  WatchResponseSchema,
} from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import type { CvlanId, NodeId, TenantId } from "@cloudvlan/kit/ids";
import { descendsFromPinned, type Domain, rootKeysOf, verifyRecord } from "@cloudvlan/kit/sign";
import { MAX_FRAME_BYTES } from "../domain/frames.ts";

type Open = (request: WatchRequest, signal: AbortSignal) => AsyncIterable<Uint8Array>;

/** What a node makes of its stream: verifies everything, accepts no gap, and keeps what it is told. */
export class Mirror {
  readonly nodeId: NodeId;
  nodes = new Map<string, NodeRecord>();
  rules = new Map<string, RuleRecord>();
  readonly hints = new Map<string, EndpointHint>();
  dns: DnsRecord | undefined;
  /** DNS records that came. */
  dnsRecords = 0;
  relayMap: RelayMap | undefined;
  /** Relay maps that came. */
  relayMaps = 0;
  epoch = 0n;
  revision = 0n;
  keyset: Keyset | undefined;
  head: MapHead | undefined;
  /** Steps that brought a record or removed one. */
  steps = 0;
  fullMaps = 0;
  frames = 0;
  /** Steps without anything in them. */
  emptySteps = 0;
  /** Heads that were put together from the one before. */
  continuedHeads = 0;
  bytes = 0;
  /** Set when the stream ended. */
  error: unknown;
  /** While set, the stream is not read. */
  pause: Promise<void> | undefined;
  readonly #scope: { tenantId: TenantId; cvlanId: CvlanId };
  #rootPublicKey: Uint8Array;
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(
    nodeId: NodeId,
    scope: { tenantId: TenantId; cvlanId: CvlanId },
    rootPublicKey: Uint8Array,
    from?: Mirror,
  ) {
    this.nodeId = nodeId;
    this.#scope = scope;
    this.#rootPublicKey = rootPublicKey;
    if (!from) return;
    this.nodes = new Map(from.nodes);
    this.rules = new Map(from.rules);
    this.dns = from.dns;
    this.relayMap = from.relayMap;
    this.epoch = from.epoch;
    this.revision = from.revision;
    this.keyset = from.keyset;
    this.#rootPublicKey = from.#rootPublicKey;
  }

  /** Names of the nodes it knows, without itself. */
  get peers(): string[] {
    return [...this.nodes.keys()].filter((id) => id !== this.nodeId).sort();
  }

  get ruleNames(): string[] {
    return [...this.rules.values()].map(({ name }) => name).sort();
  }

  follow(open: Open): void {
    const position = create(MapPositionSchema, {
      epoch: this.epoch,
      revision: this.revision,
      keysetVersion: this.keyset?.version ?? 0n,
    });
    const request = create(WatchRequestSchema, { position, capabilityVersion: 1, continuedHeads: true });
    this.#running = this.#read(open(request, this.#stopping.signal));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #read(frames: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      let step: MapUpdate[] = [];
      let head = new Uint8Array();
      for await (const frame of frames) {
        assert(frame.length <= MAX_FRAME_BYTES, "a frame is too large");
        this.frames++;
        this.bytes += frame.length;
        const { update } = fromBinary(WatchResponseSchema, frame);
        assert(update);
        step.push(update);
        if (update.more) continue;
        assert(update.headKept <= head.length, "a head continues more than there was");
        if (update.headKept > 0) this.continuedHeads++;
        head = Buffer.concat([head.subarray(0, update.headKept), update.head]);
        update.head = head;
        this.#apply(step);
        step = [];
        await this.pause;
      }
      assert.equal(step.length, 0, "the stream ended inside a step");
    } catch (error) {
      this.error = error;
    }
  }

  #apply(step: readonly MapUpdate[]): void {
    const first = step[0];
    const last = step.at(-1);
    assert(first && last);
    assert(step.slice(1).every((update) => !update.full));
    if (first.full) {
      assert.equal(first.previous, 0n);
      this.nodes.clear();
      this.rules.clear();
      this.fullMaps++;
    } else {
      assert.equal(first.previous, this.revision, "a gap");
    }
    this.#followRoots(step.flatMap(({ rootTransitions }) => rootTransitions));
    for (const { keyset } of step) if (keyset.length > 0) this.#takeKeyset(keyset);
    this.head = this.#takeHead(last.head);
    assert.equal(this.head.revision, last.revision);
    assert(last.revision >= this.revision || this.head.epoch > this.epoch, "the map went back");
    let changes = 0;
    for (const update of step) {
      for (const id of update.removedNodes) assert(this.nodes.delete(id), `${id} was removed and not held`);
      for (const id of update.removedRules) assert(this.rules.delete(hex(id)), "a rule was removed and not held");
      for (const bytes of update.nodes) {
        const record = fromBinary(NodeRecordSchema, this.#verify("node", KeyRole.ENROL, bytes));
        const held = this.nodes.get(record.nodeId);
        assert(!held || held.recordRevision < record.recordRevision, `${record.nodeId} came twice`);
        this.nodes.set(record.nodeId, record);
      }
      for (const bytes of update.rules) {
        const record = fromBinary(RuleRecordSchema, this.#verify("rule", KeyRole.POLICY, bytes));
        const held = this.rules.get(hex(record.ruleId));
        assert(!held || held.policyVersion < record.policyVersion, `rule ${record.name} came twice`);
        this.rules.set(hex(record.ruleId), record);
      }
      if (update.dns.length > 0) this.#takeDns(update.dns);
      if (update.relayMap.length > 0) this.#takeRelayMap(update.relayMap);
      for (const hint of update.hints) this.hints.set(hint.nodeId, hint);
      changes += update.nodes.length + update.rules.length + update.removedNodes.length + update.removedRules.length;
    }
    assert(this.nodes.has(this.nodeId), "a node sees itself");
    if (changes > 0) this.steps++;
    else this.emptySteps++;
    this.revision = last.revision;
    this.epoch = this.head.epoch;
  }

  #takeDns(bytes: Uint8Array): void {
    const record = fromBinary(DnsRecordSchema, this.#verify("dns", KeyRole.ENROL, bytes));
    assert.equal(record.cvlanId, this.#scope.cvlanId);
    assert.equal(record.tenantId, this.#scope.tenantId);
    assert(record.recordRevision >= (this.dns?.recordRevision ?? 0n), "the DNS record went back");
    this.dns = record;
    this.dnsRecords++;
  }

  #takeRelayMap(bytes: Uint8Array): void {
    const record = fromBinary(RelayMapSchema, this.#verify("relay-map", KeyRole.ENROL, bytes));
    assert.equal(record.cvlanId, this.#scope.cvlanId);
    assert.equal(record.tenantId, this.#scope.tenantId);
    assert(record.recordRevision >= (this.relayMap?.recordRevision ?? 0n), "the relay map went back");
    this.relayMap = record;
    this.relayMaps++;
  }

  #followRoots(transitions: readonly Uint8Array[]): void {
    const signed = transitions.map((bytes) => fromBinary(SignedSchema, bytes));
    const keys = rootKeysOf(this.#scope.tenantId, signed);
    const last = keys.at(-1);
    if (!last) return;
    const isPinned = (key: Uint8Array): boolean => Buffer.compare(key, this.#rootPublicKey) === 0;
    assert(descendsFromPinned(this.#scope.tenantId, isPinned, signed, last), "the chain leaves the pinned root out");
    this.#rootPublicKey = last;
  }

  #takeKeyset(bytes: Uint8Array): void {
    const signed = fromBinary(SignedSchema, bytes);
    assert(verifyRecord(this.#rootPublicKey, "keyset", signed));
    const keyset = fromBinary(KeysetSchema, signed.payload);
    assert(keyset.version >= (this.keyset?.version ?? 0n));
    this.keyset = keyset;
  }

  #takeHead(bytes: Uint8Array): MapHead {
    const head = fromBinary(MapHeadSchema, this.#verify("head", KeyRole.MAP, bytes));
    assert.equal(head.cvlanId, this.#scope.cvlanId);
    assert.equal(head.tenantId, this.#scope.tenantId);
    assert(head.issuedAt && head.expiresAt);
    assert(timestampMs(head.expiresAt) > timestampMs(head.issuedAt));
    assert.equal(head.keysetVersion, this.keyset?.version);
    return head;
  }

  #verify(domain: Domain, role: KeyRole, bytes: Uint8Array): Uint8Array {
    const signed: Signed = fromBinary(SignedSchema, bytes);
    const key = this.keyset?.keys.find(({ keyId }) => keyId === signed.keyId);
    assert(key, `${domain}: unknown key`);
    assert.equal(key.role, role, `${domain}: wrong role`);
    assert(verifyRecord(key.publicKey, domain, signed), `${domain}: bad signature`);
    return signed.payload;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
