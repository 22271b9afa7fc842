import assert from "node:assert/strict";
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  KeyRole,
  type Keyset,
  KeysetSchema,
  MapHeadSchema,
  type MapUpdate,
  type NodeRecord,
  NodeRecordSchema,
  type RuleRecord,
  RuleRecordSchema,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { type Domain, verifyRecord } from "@cloudvlan/kit/sign";
import { createClient, type Transport } from "@connectrpc/connect";
import type { Member } from "./member.ts";
import { type Refused, refusedOf } from "./outcome.ts";

/** A member's map, believed only as far as its engine would: by signatures that lead to the root of its join string. */
export interface Viewer {
  /** By node id; its own included. */
  readonly nodes: ReadonlyMap<string, NodeRecord>;
  /** By name. */
  readonly rules: ReadonlyMap<string, RuleRecord>;
  readonly revision: bigint;
  readonly keyset: Keyset | undefined;
  /** Heads so far: each says that nothing else happened up to it. */
  readonly heads: number;
  /** What did not verify: the stream that brought it is left at once. */
  readonly distrust: Error | undefined;
  /** How the stream ended. */
  readonly ended: Refused | undefined;
  stop(): Promise<void>;
}

class Distrusted extends Error {}

/** Opens the map stream of a member and follows it until it ends or is stopped. */
export function view(transport: Transport, member: Member): Viewer {
  const nodes = new Map<string, NodeRecord>();
  const rules = new Map<string, RuleRecord>();
  const stopping = new AbortController();
  let revision = 0n;
  let keyset: Keyset | undefined;
  let heads = 0;
  let distrust: Error | undefined;
  let ended: Refused | undefined;

  function verified<D extends DescMessage>(
    domain: Domain,
    role: KeyRole,
    schema: D,
    bytes: Uint8Array,
  ): MessageShape<D> {
    const signed = fromBinary(SignedSchema, bytes);
    const key = keyset?.keys.find(({ keyId }) => keyId === signed.keyId);
    assert(key, `${domain}: a key that the keyset does not have`);
    assert.equal(key.role, role, `${domain}: a key of another role`);
    assert(key.notBefore && key.notAfter, `${domain}: a key without validity`);
    assert(timestampMs(key.notAfter) > Date.now(), `${domain}: a key past its validity`);
    assert(verifyRecord(key.publicKey, domain, signed), `${domain}: a bad signature`);
    return fromBinary(schema, signed.payload);
  }

  function checkScope(record: { tenantId: string; cvlanId: string }): void {
    assert.equal(record.tenantId, member.tenantId, "a record of another tenant");
    assert.equal(record.cvlanId, member.cvlanId, "a record of another cvlan");
  }

  function takeKeyset(bytes: Uint8Array): void {
    const signed = fromBinary(SignedSchema, bytes);
    assert(verifyRecord(member.rootPublicKey, "keyset", signed), "a keyset that the root did not sign");
    const next = fromBinary(KeysetSchema, signed.payload);
    assert.equal(next.tenantId, member.tenantId);
    assert(next.version >= (keyset?.version ?? 0n), "an older keyset");
    keyset = next;
  }

  function takeNode(bytes: Uint8Array): void {
    const record = verified("node", KeyRole.ENROL, NodeRecordSchema, bytes);
    checkScope(record);
    const held = nodes.get(record.nodeId);
    assert(!held || held.recordRevision <= record.recordRevision, "an older record");
    nodes.set(record.nodeId, record);
  }

  function takeRule(bytes: Uint8Array): void {
    const record = verified("rule", KeyRole.POLICY, RuleRecordSchema, bytes);
    checkScope(record);
    rules.set(record.name, record);
  }

  function dropRule(ruleId: Uint8Array): void {
    for (const [name, record] of rules) if (Buffer.compare(record.ruleId, ruleId) === 0) rules.delete(name);
  }

  function take(update: MapUpdate): void {
    if (update.full) {
      assert.equal(update.previous, 0n);
      nodes.clear();
      rules.clear();
    } else if (revision > 0n) {
      assert(update.previous <= revision, "a gap");
    }
    if (update.keyset.length > 0) takeKeyset(update.keyset);
    for (const id of update.removedNodes) nodes.delete(id);
    for (const ruleId of update.removedRules) dropRule(ruleId);
    update.nodes.forEach(takeNode);
    update.rules.forEach(takeRule);
    if (update.more) return;
    const head = verified("head", KeyRole.MAP, MapHeadSchema, update.head);
    checkScope(head);
    assert.equal(head.revision, update.revision);
    assert(update.revision >= revision, "the map went back");
    revision = update.revision;
    heads += 1;
  }

  async function follow(): Promise<void> {
    const stream = createClient(NetmapService, transport).watch({ capabilityVersion: 1 }, { signal: stopping.signal });
    for await (const { update } of stream) {
      try {
        assert(update, "a message without an update");
        take(update);
      } catch (error) {
        throw new Distrusted("a map that does not verify", { cause: error });
      }
    }
  }

  const following = follow().catch((error: unknown) => {
    if (error instanceof Distrusted) distrust = error;
    else ended = refusedOf(error);
  });

  return {
    nodes,
    rules,
    get revision() {
      return revision;
    },
    get keyset() {
      return keyset;
    },
    get heads() {
      return heads;
    },
    get distrust() {
      return distrust;
    },
    get ended() {
      return ended;
    },
    async stop() {
      stopping.abort();
      await following;
    },
  };
}
