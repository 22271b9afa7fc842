import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Change, ChangeSchema } from "@cloudvlan/gen/entity/v1/events_pb.js";
import {
  KeyRole,
  type Keyset,
  KeysetSchema,
  NodeRecordSchema,
  PolicyManifestSchema,
  RuleRecordSchema,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { NodeKind } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { PolicyAction, PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { newId } from "@cloudvlan/kit/ids";
import { type Domain, newSigningSeed, type SigningKey, signingKeyFromSeed, signRecord } from "@cloudvlan/kit/sign";
import { createHash, randomBytes } from "node:crypto";

interface Scope {
  readonly tenantId: string;
  readonly cvlanId: string;
}

/** A signing key of nobody's, under whatever id. */
export function strangerKey(keyId: string): SigningKey {
  return signingKeyFromSeed(keyId, newSigningSeed());
}

/** Id of the key that a keyset has for a role. */
export function keyIdOf(keyset: Keyset | undefined, role: KeyRole): string {
  const key = keyset?.keys.find((each) => each.role === role);
  if (!key) throw new Error("the keyset has no key of that role");
  return key.keyId;
}

/** Bytes as SQL. */
export function bytea(bytes: Uint8Array): string {
  return `'\\x${Buffer.from(bytes).toString("hex")}'::bytea`;
}

function signed(key: SigningKey, domain: Domain, payload: Uint8Array): Uint8Array {
  return toBinary(SignedSchema, signRecord(key, domain, payload));
}

/** A node that never joined, in the best of shape but for who signed it. */
export function forgedNode(key: SigningKey, scope: Scope, nodeId: string, selectors: Uint8Array[]): Uint8Array {
  const record = create(NodeRecordSchema, {
    ...scope,
    nodeId,
    recordRevision: 99n,
    name: "mallory",
    kind: NodeKind.AGENT,
    wireguardPublicKey: new Uint8Array(randomBytes(32)),
    addresses: [{ address: Uint8Array.of(100, 64, 66, 66), length: 32 }],
    selectors,
    capabilityVersion: 1,
  });
  return signed(key, "node", toBinary(NodeRecordSchema, record));
}

/** A whole policy: one rule that allows everything to everybody, and the manifest that fits it. */
export interface ForgedPolicy {
  readonly ruleId: Uint8Array;
  /** Serialised `Signed` of the rule. */
  readonly rule: Uint8Array;
  /** Serialised `Signed` of the manifest. */
  readonly manifest: Uint8Array;
}

export function forgedPolicy(key: SigningKey, scope: Scope): ForgedPolicy {
  const sha256 = (data: Uint8Array | string) => new Uint8Array(createHash("sha256").update(data).digest());
  const any = { selector: { case: "any", value: true } } as const;
  const ruleId = sha256(`${scope.cvlanId}\0anything`).slice(0, 16);
  const record = create(RuleRecordSchema, {
    ...scope,
    ruleId,
    policyVersion: 99n,
    name: "anything",
    action: PolicyAction.ALLOW,
    protocol: PolicyProtocol.ANY,
    sources: [any],
    destinations: [any],
  });
  const payload = toBinary(RuleRecordSchema, record);
  const manifest = create(PolicyManifestSchema, {
    ...scope,
    policyVersion: 99n,
    rulesSha256: sha256(sha256(payload)),
    rules: 1,
  });
  return {
    ruleId,
    rule: signed(key, "rule", payload),
    manifest: signed(key, "manifest", toBinary(PolicyManifestSchema, manifest)),
  };
}

/** A keyset in which every role is the forger's. */
export function forgedKeyset(root: SigningKey, tenantId: string, key: SigningKey): Uint8Array {
  const now = Date.now();
  const keyset = create(KeysetSchema, {
    tenantId,
    version: 99n,
    issuedAt: timestampFromMs(now),
    keys: [KeyRole.ENROL, KeyRole.POLICY, KeyRole.MAP].map((role) => ({
      keyId: newId("key", now),
      role,
      publicKey: key.publicKey,
      notBefore: timestampFromMs(now - 60_000),
      notAfter: timestampFromMs(now + 86_400_000),
    })),
  });
  return signed(root, "keyset", toBinary(KeysetSchema, keyset));
}

/** A statement that puts a change into a service's stream as the service would, and wakes its readers. */
export function appendChange(
  service: string,
  tenantId: string | undefined,
  stream: string,
  objectId: string,
  change: Change["change"],
): string {
  const body = bytea(toBinary(ChangeSchema, create(ChangeSchema, { change })));
  const tenant = tenantId === undefined ? "null" : `'${tenantId}'`;
  const topic = `${tenantId ?? "platform"} ${stream}`;
  return `with counter as (
      update ${service}.change_stream set revision = revision + 1
      where tenant_id is not distinct from ${tenant} and stream = '${stream}' returning revision
    )
    insert into ${service}.change (tenant_id, stream, object_id, revision, body)
    select ${tenant}, '${stream}', '${objectId}', revision, ${body} from counter
    on conflict on constraint change_key do update set revision = excluded.revision, body = excluded.body;
    select pg_notify('${service}_changes', '${topic}')`;
}
