import { randomBytes } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { PolicyDocumentSchema, type PolicyRule } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { newId } from "@cloudvlan/kit/ids";
import { appendChange, bytea, forgedKeyset, forgedNode, forgedPolicy, strangerKey } from "./forgery.ts";
import type { Member } from "./member.ts";
import type { Viewer } from "./viewer.ts";
import { allow, ANY, type Side } from "./world.ts";

/** A tenant under attack: two nodes of the group `web` may talk, a third is nobody's business. */
export interface Victim {
  readonly side: Side;
  readonly scope: { readonly tenantId: string; readonly cvlanId: string };
  readonly group: { readonly id: string; readonly name: string };
  /** What a record of a member of the group carries. */
  readonly selector: Uint8Array;
  readonly watcher: Member;
  readonly peer: Member;
  readonly outsider: Member;
  readonly viewer: Viewer;
  /** The policy, in order to apply it again. */
  readonly rules: readonly PolicyRule[];
  /** Ids of the keys that the tenant's keyset has, for who would sign in their name. */
  keyId(role: KeyRole): string;
}

/** What somebody does who writes every table and has no key. */
export interface Attack {
  readonly name: string;
  /** Statements that a superuser runs. */
  strike(victim: Victim): readonly string[];
}

const NODE_COLUMNS = `tenant_id, cvlan_id, kind, status, control_public_key, capability_version, tags, routes,
  created_at, joined_at, revoked_at, record, record_revision, seal`;

const wakeNetmap = ({ scope }: Victim) => `select pg_notify('netmap_revisions', '${scope.tenantId} ${scope.cvlanId}')`;

function insertRecord({ scope }: Victim, objectId: string, kind: number, signed: Uint8Array): string {
  return `insert into netmap.record values ('${scope.tenantId}', '${scope.cvlanId}', '${objectId}', ${kind}, ${bytea(signed)}, 99, false)`;
}

function insertLog({ scope }: Victim, objectId: string, kind: number, after: Uint8Array): string {
  return `with moved as (update netmap.map set revision = revision + 1 where cvlan_id = '${scope.cvlanId}' returning revision)
    insert into netmap.log select '${scope.tenantId}', '${scope.cvlanId}', revision, 0, 1, '${objectId}', ${kind},
      ''::bytea, ${bytea(after)}, ${bytea(new Uint8Array(32))} from moved`;
}

const ruleObject = (ruleId: Uint8Array): string => `rule_${Buffer.from(ruleId).toString("hex")}`;

export const ATTACKS: readonly Attack[] = [
  {
    name: "inserts a node",
    strike: ({ outsider, peer }) => [
      `insert into registry.node (id, name, host, wireguard_public_key, join_token_id, ${NODE_COLUMNS})
        select '${newId("node", Date.now())}', 'mallory', 4242, ${bytea(randomBytes(32))}, 'none', ${NODE_COLUMNS}
        from registry.node where id = '${peer.nodeId}'`,
      `update registry.node set name = 'mallory-2' where id = '${outsider.nodeId}'`,
    ],
  },
  {
    name: "puts a key of theirs into a node",
    strike: ({ peer }) => [
      `update registry.node set wireguard_public_key = ${bytea(randomBytes(32))} where id = '${peer.nodeId}'`,
    ],
  },
  {
    name: "puts a record of theirs into a node",
    strike: (victim) => {
      const key = strangerKey(victim.keyId(KeyRole.ENROL));
      const record = forgedNode(key, victim.scope, victim.peer.nodeId, [victim.selector]);
      return [
        `update registry.node set record = ${bytea(record)}, record_revision = 99 where id = '${victim.peer.nodeId}'`,
      ];
    },
  },
  {
    name: "gives a node other tags, addresses and routes",
    strike: ({ outsider, scope }) => [
      `update registry.node set tags = '{"role":"web"}', routes = '{0.0.0.0/0}', host = 7 where id = '${outsider.nodeId}'`,
      `update registry.address set host = 7 where node_id = '${outsider.nodeId}'`,
      `update registry.address_pool set next_host = 1 where cvlan_id = '${scope.cvlanId}'`,
    ],
  },
  {
    name: "makes a node a member of a group",
    strike: ({ outsider, group, scope }) => [
      `insert into registry.group_member values ('${scope.tenantId}', '${group.id}', '${outsider.nodeId}', ${bytea(randomBytes(32))})`,
    ],
  },
  {
    name: "moves a membership to another node, with its seal",
    strike: ({ outsider, peer }) => [
      `update registry.group_member set node_id = '${outsider.nodeId}' where node_id = '${peer.nodeId}'`,
    ],
  },
  {
    name: "renames a group and its cvlan",
    strike: ({ group, scope }) => [
      `update registry.node_group set name = 'admins' where id = '${group.id}'`,
      `update registry.cvlan set name = 'theirs', ipv4_pool = '0.0.0.0/0' where id = '${scope.cvlanId}'`,
    ],
  },
  {
    name: "replaces the policy document",
    strike: ({ scope }) => {
      const open = toBinary(
        PolicyDocumentSchema,
        create(PolicyDocumentSchema, { rules: [allow("anything", ANY, ANY)] }),
      );
      return [`update policy.document set document = ${bytea(open)}, version = 99 where cvlan_id = '${scope.cvlanId}'`];
    },
  },
  {
    name: "inserts a rule and its manifest into policy and its stream",
    strike: (victim) => {
      const { scope } = victim;
      const key = strangerKey(victim.keyId(KeyRole.POLICY));
      const { ruleId, rule, manifest } = forgedPolicy(key, scope);
      const of = `tenant_id = '${scope.tenantId}'`;
      return [
        `delete from policy.rule where ${of}`,
        `insert into policy.rule values ('${scope.tenantId}', '${scope.cvlanId}', ${bytea(ruleId)}, ${bytea(rule)})`,
        `update policy.document set manifest = ${bytea(manifest)} where ${of}`,
        `delete from policy.change where ${of} and object_id like 'rule_%'`,
        appendChange("policy", scope.tenantId, scope.cvlanId, ruleObject(ruleId), { case: "rule", value: rule }),
        appendChange("policy", scope.tenantId, scope.cvlanId, "manifest", { case: "manifest", value: manifest }),
      ];
    },
  },
  {
    name: "takes the rule that denies out of policy and of the map",
    strike: (victim) => [
      `delete from policy.rule where cvlan_id = '${victim.scope.cvlanId}' and signed::text like '%' || encode('deny-outsider', 'hex') || '%'`,
      `delete from policy.change where stream = '${victim.scope.cvlanId}' and body::text like '%' || encode('deny-outsider', 'hex') || '%'`,
      `delete from netmap.record where cvlan_id = '${victim.scope.cvlanId}' and signed::text like '%' || encode('deny-outsider', 'hex') || '%'`,
      wakeNetmap(victim),
    ],
  },
  {
    name: "sends a node of theirs down the stream of registry",
    strike: (victim) => {
      const { scope } = victim;
      return [victim.keyId(KeyRole.ENROL), "unknown", victim.keyId(KeyRole.MAP), "root"].map((keyId) => {
        const nodeId = newId("node", Date.now());
        const record = forgedNode(strangerKey(keyId), scope, nodeId, [victim.selector]);
        return appendChange("registry", scope.tenantId, scope.cvlanId, nodeId, { case: "node", value: record });
      });
    },
  },
  {
    name: "writes records of theirs into the map",
    strike: (victim) => {
      const nodeId = newId("node", Date.now());
      const node = forgedNode(strangerKey(victim.keyId(KeyRole.ENROL)), victim.scope, nodeId, [victim.selector]);
      const { ruleId, rule, manifest } = forgedPolicy(strangerKey(victim.keyId(KeyRole.POLICY)), victim.scope);
      return [
        insertRecord(victim, nodeId, 1, node),
        `delete from netmap.record where tenant_id = '${victim.scope.tenantId}' and kind in (2, 3)`,
        insertRecord(victim, ruleObject(ruleId), 2, rule),
        insertRecord(victim, "manifest", 3, manifest),
        insertLog(victim, nodeId, 1, node),
        insertLog(victim, ruleObject(ruleId), 2, rule),
        wakeNetmap(victim),
      ];
    },
  },
  {
    name: "changes records and log of the map",
    strike: (victim) => {
      const { scope, peer, outsider } = victim;
      const forged = forgedNode(strangerKey(victim.keyId(KeyRole.ENROL)), scope, peer.nodeId, [victim.selector]);
      const of = `tenant_id = '${scope.tenantId}' and object_id`;
      return [
        `update netmap.record set signed = ${bytea(forged)} where ${of} = '${peer.nodeId}'`,
        `update netmap.record set signed = (select signed from netmap.record where ${of} = '${victim.watcher.nodeId}')
          where ${of} = '${outsider.nodeId}'`,
        `update netmap.log set after = ${bytea(forged)} where ${of} = '${peer.nodeId}'`,
        `update netmap.map set revision = revision + 3, epoch = epoch + 1 where cvlan_id = '${scope.cvlanId}'`,
        wakeNetmap(victim),
      ];
    },
  },
  {
    name: "delegates keys of theirs in the keyset",
    strike: ({ scope }) => {
      const root = strangerKey("root");
      const keyset = forgedKeyset(root, scope.tenantId, strangerKey("x"));
      return [
        `update auth.tenant set keyset = ${bytea(keyset)}, keyset_version = 99 where id = '${scope.tenantId}'`,
        appendChange("auth", undefined, "auth", scope.tenantId, { case: "keyset", value: keyset }),
      ];
    },
  },
  {
    name: "puts a root of theirs under a keyset of theirs",
    strike: ({ scope }) => {
      const root = strangerKey("root");
      const keyset = forgedKeyset(root, scope.tenantId, strangerKey("x"));
      return [
        `update auth.tenant set keyset = ${bytea(keyset)}, keyset_version = 99, root_public_key = ${bytea(root.publicKey)},
          root_seed = ${bytea(randomBytes(61))} where id = '${scope.tenantId}'`,
        appendChange("auth", undefined, "auth", scope.tenantId, { case: "keyset", value: keyset }),
      ];
    },
  },
  {
    name: "puts signing keys of theirs into every service",
    strike: ({ scope }) =>
      ["registry", "policy", "netmap"].map(
        (service) =>
          `update ${service}.signing_key set wrapped_seed = ${bytea(randomBytes(61))} where tenant_id = '${scope.tenantId}'`,
      ),
  },
];
