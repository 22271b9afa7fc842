import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type NodeRecord, NodeRecordSchema, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type NodeKind } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import type { KeyProvider } from "@cloudvlan/kit/keys";
import { parsePrefix } from "@cloudvlan/kit/net";
import { isAccepted, MAX_RECORD_BYTES, type RoleKey, type SigningKey, signRecord } from "@cloudvlan/kit/sign";
import { addressesOf } from "./pool.ts";
import { selectorsOf } from "./selectors.ts";

/** What a record is made of; every part from a sealed row. */
export interface RecordSource {
  readonly tenantId: string;
  readonly cvlanId: string;
  readonly id: string;
  readonly name: string;
  readonly kind: NodeKind;
  readonly host: bigint;
  readonly wireguardPublicKey: Uint8Array;
  readonly capabilityVersion: bigint;
  readonly tags: Readonly<Record<string, string>>;
  readonly routes: readonly string[];
}

/**
 * The core record of a node at a revision, signed; serialised `Signed`.
 * @param field of the request, for the error.
 * @throws Refusal `invalid` when routes, tags and groups are more than fit into what a node takes.
 */
export function signNode(
  keys: KeyProvider,
  key: SigningKey,
  cvlan: { ipv4Pool: string; ipv6Prefix: string },
  node: RecordSource,
  groupIds: readonly string[],
  revision: bigint,
  field: string,
): Uint8Array {
  const record = create(NodeRecordSchema, {
    tenantId: node.tenantId,
    cvlanId: node.cvlanId,
    nodeId: node.id,
    recordRevision: revision,
    name: node.name,
    kind: node.kind,
    wireguardPublicKey: node.wireguardPublicKey,
    addresses: addressesOf(cvlan, node.host).map((address) => ({ address, length: address.length * 8 })),
    selectors: selectorsOf(keys, node.cvlanId, node.tags, groupIds),
    routes: node.routes.map((text) => {
      const prefix = parsePrefix(text);
      if (!prefix) throw new Error("a stored route is no prefix");
      return prefix;
    }),
    capabilityVersion: Number(node.capabilityVersion),
  });
  const signed = toBinary(SignedSchema, signRecord(key, "node", toBinary(NodeRecordSchema, record)));
  if (signed.length > MAX_RECORD_BYTES) {
    const has = `${node.routes.length} routes, ${Object.keys(node.tags).length} tags and ${groupIds.length} groups`;
    const message = `the node's record would take ${signed.length} bytes with ${has}; ${MAX_RECORD_BYTES} is the limit`;
    throw new Refusal("invalid", "NODE_TOO_LARGE", message, {
      field,
      objectId: node.id,
      remedy: "give the node fewer routes, tags or groups; combine routes into shorter prefixes",
    });
  }
  return signed;
}

/** The stored record when a key of the role signed it for this node; undefined otherwise. */
export function openRecord(
  key: RoleKey,
  node: { id: string; cvlanId: string; record: Uint8Array },
): NodeRecord | undefined {
  try {
    const signed = fromBinary(SignedSchema, node.record);
    if (!isAccepted(key, "node", signed)) return undefined;
    const record = fromBinary(NodeRecordSchema, signed.payload);
    return record.nodeId === node.id && record.cvlanId === node.cvlanId ? record : undefined;
  } catch {
    return undefined;
  }
}
