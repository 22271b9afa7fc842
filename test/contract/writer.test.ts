import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { ApiKeyService, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { PolicyAction, PolicyDocumentSchema, type PolicyRule } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { EnrollmentService, GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { newId } from "@cloudvlan/kit/ids";
import { createClient } from "@connectrpc/connect";
import { auditRows } from "./audit-rows.ts";
import {
  appendChange,
  bytea,
  forgedKeyset,
  forgedManifest,
  forgedNode,
  forgedRule,
  keyIdOf,
  strangerKey,
} from "./forgery.ts";
import { type Installation, newInstallation } from "./installation.ts";
import { formatJoinString, joinRequest, type Member, newMachineKeys, parseJoinString } from "./member.ts";
import { invoke, refusalOf } from "./outcome.ts";
import { until } from "./until.ts";
import { view, type Viewer } from "./viewer.ts";
import { allow, ANY, newSide, type Side } from "./world.ts";

/** A tenant under attack: two nodes of the group `web` may talk, a third is nobody's business. */
interface Victim {
  readonly side: Side;
  readonly scope: { readonly tenantId: string; readonly cvlanId: string };
  readonly group: { readonly id: string; readonly name: string };
  readonly watcher: Member;
  readonly peer: Member;
  readonly outsider: Member;
  readonly viewer: Viewer;
  /** The policy, in order to apply it again. */
  readonly rules: readonly PolicyRule[];
  /** Ids of the keys that the tenant's keyset has, for who would sign in their name. */
  keyId(role: KeyRole): string;
}

interface Attack {
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

const ATTACKS: readonly Attack[] = [
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
      const record = forgedNode(key, victim.scope, victim.peer.nodeId);
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
      const { ruleId, bytes } = forgedRule(key, scope);
      const manifest = forgedManifest(key, scope);
      return [
        `insert into policy.rule values ('${scope.tenantId}', '${scope.cvlanId}', ${bytea(ruleId)}, ${bytea(bytes)})`,
        `update policy.document set manifest = ${bytea(manifest)} where cvlan_id = '${scope.cvlanId}'`,
        appendChange("policy", scope.tenantId, scope.cvlanId, ruleObject(ruleId), { case: "rule", value: bytes }),
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
        const record = forgedNode(strangerKey(keyId), scope, nodeId);
        return appendChange("registry", scope.tenantId, scope.cvlanId, nodeId, { case: "node", value: record });
      });
    },
  },
  {
    name: "writes records of theirs into the map",
    strike: (victim) => {
      const nodeId = newId("node", Date.now());
      const node = forgedNode(strangerKey(victim.keyId(KeyRole.ENROL)), victim.scope, nodeId);
      const { ruleId, bytes } = forgedRule(strangerKey(victim.keyId(KeyRole.POLICY)), victim.scope);
      return [
        insertRecord(victim, nodeId, 1, node),
        insertRecord(victim, ruleObject(ruleId), 2, bytes),
        insertLog(victim, nodeId, 1, node),
        insertLog(victim, ruleObject(ruleId), 2, bytes),
        wakeNetmap(victim),
      ];
    },
  },
  {
    name: "changes records and log of the map",
    strike: (victim) => {
      const { scope, peer, outsider } = victim;
      const forged = forgedNode(strangerKey(victim.keyId(KeyRole.ENROL)), scope, peer.nodeId);
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

describe("somebody who can write every table and has no key", function () {
  this.timeout(120_000);
  let installation: Installation;
  const victims = new Map<string, Victim>();

  async function newVictim(prefix: string): Promise<Victim> {
    const side = await newSide(installation, prefix);
    const group = await side.newGroup();
    const inGroup = async () => side.newMember(undefined, { groupIds: [group.id] });
    const [watcher, peer, outsider] = [await inGroup(), await inGroup(), await side.newMember()];
    const web = { case: "group", value: group.name } as const;
    const hidden = { case: "node", value: outsider.name } as const;
    const deny = { ...allow("deny-outsider", web, hidden), action: PolicyAction.DENY };
    const rules = [allow("web", web, web), deny];
    await side.apply(...rules);
    const viewer = view(installation.holder(watcher.credential), watcher);
    await until("the peer on the map", () => viewer.nodes.has(peer.nodeId) && viewer.rules.size === 2);
    const { tenantId, cvlanId } = side;
    const keyId = (role: KeyRole) => keyIdOf(viewer.keyset, role);
    return { side, scope: { tenantId, cvlanId }, group, watcher, peer, outsider, viewer, rules, keyId };
  }

  async function run(statements: readonly string[]): Promise<void> {
    for (const statement of statements) await installation.asSuperuser(statement);
  }

  /** What an operator may happen to do next, so that every service reads its rows. Refusals are in order. */
  async function carryOn(on: Installation, { side, group, outsider, peer, watcher }: Victim): Promise<void> {
    const owner = on.person(on.ownerKey);
    const { tenantId, cvlanId } = side;
    const nodes = createClient(NodeService, owner);
    const policies = createClient(PolicyService, owner);
    const calls = [
      ...[outsider, peer].map(
        ({ nodeId }) =>
          () =>
            nodes.updateNode({ tenantId, nodeId, tags: { tags: { seen: "yes" } } }),
      ),
      () => createClient(GroupService, owner).addGroupMember({ tenantId, groupId: group.id, nodeId: peer.nodeId }),
      () => policies.getPolicy({ tenantId, cvlanId }),
      () =>
        createClient(NetmapService, on.holder(watcher.credential)).reportEndpoints({
          endpoints: [{ address: "192.0.2.9", port: 51820 }],
        }),
    ];
    for (const call of calls) await call().catch(() => undefined);
  }

  /** Nothing that the tenant did not sign, no peer that policy does not give, no rule that nobody wrote. */
  function assertHonest(viewer: Viewer, { watcher, peer }: Victim): void {
    assert.equal(viewer.distrust, undefined, String(viewer.distrust?.cause));
    const known = new Map([watcher, peer].map((member) => [member.nodeId as string, member]));
    for (const [nodeId, record] of viewer.nodes) {
      const member = known.get(nodeId);
      assert.ok(member, `${record.name} is on the map`);
      assert.deepEqual(record.wireguardPublicKey, member.keys.wireguard.publicKey);
      assert.deepEqual(record.routes, []);
    }
    const rules = [...viewer.rules.keys()].toSorted();
    assert.ok(rules.length === 0 || rules.join() === "deny-outsider,web", `the rules are ${rules.join()}`);
  }

  before(async () => {
    installation = await newInstallation({ kind: "postgres" });
  });
  after(async () => {
    for (const { viewer } of victims.values()) await viewer.stop();
    await installation.close();
  });

  describe("changes nothing that a node believes:", () => {
    for (const attack of ATTACKS) {
      it(attack.name, async () => {
        const victim = await newVictim(`v${victims.size}`);
        victims.set(attack.name, victim);
        await run(attack.strike(victim));
        await carryOn(installation, victim);
        const { viewer } = victim;
        const seen = viewer.heads;
        await until("two more heads, or the end", () => viewer.heads > seen + 1 || viewer.ended !== undefined);
        assertHonest(viewer, victim);
      });
    }
  });

  describe("neither with a worker that starts afterwards:", () => {
    let worker: Installation;
    before(async () => {
      worker = await newInstallation({ kind: "postgres", beside: installation });
    });
    after(() => worker.close());

    it("which serves whom nobody attacked", async () => {
      const victim = await newVictim("nobody");
      victims.set("nobody", victim);
      const viewer = view(worker.holder(victim.watcher.credential), victim.watcher);
      await until("the map", () => viewer.nodes.size === 2 && viewer.rules.size === 2);
      await viewer.stop();
    });
    for (const { name } of ATTACKS) {
      it(name, async () => {
        const victim = victims.get(name);
        assert.ok(victim);
        await carryOn(worker, victim);
        const viewer = view(worker.holder(victim.watcher.credential), victim.watcher);
        await until(
          "two heads, or a refusal",
          () => viewer.heads > 1 || (viewer.ended ?? viewer.distrust) !== undefined,
        );
        assertHonest(viewer, victim);
        const { rules } = victim;
        await createClient(PolicyService, worker.person(worker.ownerKey))
          .applyPolicy({ ...victim.scope, document: { rules: [...rules] } })
          .catch(() => undefined);
        await carryOn(worker, victim);
        const seen = viewer.heads;
        await until(
          "another head, or a refusal",
          () => viewer.heads > seen || (viewer.ended ?? viewer.distrust) !== undefined,
        );
        assertHonest(viewer, victim);
        await viewer.stop();
      });
    }
    it("and it was said in the log", () => {
      const errors = [...installation.lines, ...worker.lines].filter(({ level }) => level === "error");
      for (const words of [/seal/, /does not verify/, /not those of a signed manifest/]) {
        assert.ok(
          errors.some(({ message }) => words.test(message)),
          `nobody logged ${words}`,
        );
      }
    });
  });

  describe("makes no join token good:", () => {
    const cases: readonly (readonly [string, (id: string) => string])[] = [
      [
        "a used one is unused",
        (id) => `update registry.join_token set used_by = null, node_id = null where id = '${id}'`,
      ],
      [
        "one lives longer",
        (id) => `update registry.join_token set expires_at = now() + interval '1 day' where id = '${id}'`,
      ],
      ["a revoked one is not", (id) => `update registry.join_token set revoked_at = null where id = '${id}'`],
      ["one gives another group", (id) => `update registry.join_token set group_ids = '{group_x}' where id = '${id}'`],
      ["one has a tag more", (id) => `update registry.join_token set tags = '{"role":"admin"}' where id = '${id}'`],
      ["one makes a vrouter", (id) => `update registry.join_token set node_kind = 3 where id = '${id}'`],
    ];
    let side: Side;
    before(async () => {
      side = await newSide(installation, "tokens");
    });

    async function assertRefused(token: string, fault: string): Promise<void> {
      const enrolment = createClient(EnrollmentService, installation.anonymous());
      const request = await joinRequest(installation.anonymous(), token, await newMachineKeys(), "mallory");
      const told = await refusalOf(enrolment.join(request));
      assert.deepEqual([told.code, told.reason], ["Unauthenticated", "TOKEN_REFUSED"]);
      const rows = await auditRows(installation, "registry", side.tenantId);
      assert.equal(rows.at(-1)?.outcome, fault);
    }
    for (const [what, statement] of cases) {
      it(what, async () => {
        const token = await side.newToken();
        const { tokenId, tenantId } = parseJoinString(token);
        if (what.includes("used")) {
          const request = await joinRequest(installation.anonymous(), token, await newMachineKeys(), "first");
          await createClient(EnrollmentService, installation.anonymous()).join(request);
        }
        if (what.includes("revoked")) {
          const owner = createClient(EnrollmentService, installation.person(side.admin));
          await owner.revokeJoinToken({ tenantId, tokenId });
        }
        await run([statement(tokenId)]);
        await assertRefused(token, "TOKEN_SEAL_BROKEN");
      });
    }
    it("one of their own making", async () => {
      const good = parseJoinString(await side.newToken());
      const id = newId("jointoken", Date.now());
      const digest = createHash("sha256").update(good.secret).digest();
      const columns = "cvlan_id, expires_at, tags, group_ids, node_kind, created_at, created_by, seal";
      await run([
        `insert into registry.join_token (tenant_id, id, digest, ${columns})
          select tenant_id, '${id}', ${bytea(digest)}, ${columns} from registry.join_token where id = '${good.tokenId}'`,
      ]);
      await assertRefused(formatJoinString({ ...good, tokenId: id }), "TOKEN_SEAL_BROKEN");
    });
    it("a used one whose whole former row is put back, while its node is there", async () => {
      const token = await side.newToken();
      const { tokenId } = parseJoinString(token);
      await run([`create table public.former as select * from registry.join_token where id = '${tokenId}'`]);
      const first = await joinRequest(installation.anonymous(), token, await newMachineKeys(), "first");
      const { node } = await createClient(EnrollmentService, installation.anonymous()).join(first);
      await run([
        `delete from registry.join_token where id = '${tokenId}'`,
        "insert into registry.join_token select * from public.former",
        "drop table public.former",
      ]);
      const again = await joinRequest(installation.anonymous(), token, await newMachineKeys(), "second");
      const told = await refusalOf(createClient(EnrollmentService, installation.anonymous()).join(again));
      assert.deepEqual([told.code, told.reason], ["Unauthenticated", "TOKEN_REFUSED"]);
      const nodes = createClient(NodeService, installation.person(side.admin));
      const { nodes: listed } = await nodes.listNodes({ tenantId: side.tenantId });
      assert.ok(listed.some(({ id }) => id === node?.id) && !listed.some(({ name }) => name === "second"));
    });
  });

  describe("makes no API key good:", () => {
    let side: Side;
    before(async () => {
      side = await newSide(installation, "keys");
    });
    const getTenant = (apiKey: string) =>
      createClient(TenantService, installation.person(apiKey)).getTenant({ tenantId: side.tenantId });

    async function assertRefused(apiKey: string): Promise<void> {
      const told = await refusalOf(getTenant(apiKey));
      assert.deepEqual([told.code, told.reason], ["Unauthenticated", "CREDENTIAL_REFUSED"]);
      const rows = await auditRows(installation, "auth", side.tenantId);
      assert.equal(rows.at(-1)?.outcome, "SEAL_BROKEN");
    }
    it("one has more permissions", async () => {
      const { id, secret } = await side.newKey([Permission.REGION_READ]);
      await run([`update auth.api_key set permissions = '{10,11,20,21,30,31}' where id = '${id}'`]);
      await assertRefused(secret);
    });
    it("one has another secret", async () => {
      const { id, secret } = await side.newKey([Permission.TENANT_READ]);
      const own = randomBytes(32).toString("base64url");
      await run([
        `update auth.api_key set digest = ${bytea(createHash("sha256").update(own).digest())} where id = '${id}'`,
      ]);
      await assertRefused(`${secret.slice(0, -43)}${own}`);
    });
    it("a revoked one is not, and lives longer", async () => {
      const { id, secret } = await side.newKey([Permission.TENANT_READ]);
      const keys = createClient(ApiKeyService, installation.person(side.admin));
      await keys.revokeApiKey({ tenantId: side.tenantId, apiKeyId: id });
      await run([
        `update auth.api_key set revoked_at = null, expires_at = now() + interval '1 day' where id = '${id}'`,
      ]);
      await assertRefused(secret);
    });
    it("one is the platform's", async () => {
      const { id, secret } = await side.newKey([Permission.TENANT_READ]);
      await run([`update auth.api_key set tenant_id = null where id = '${id}'`]);
      const platform = secret.replace(side.tenantId.slice("tenant_".length), "platform");
      const told = await refusalOf(getTenant(platform));
      assert.deepEqual([told.code, told.reason], ["Unauthenticated", "CREDENTIAL_REFUSED"]);
    });
    it("one of their own making", async () => {
      const { id, secret } = await side.newKey([Permission.TENANT_READ]);
      const mine = newId("apikey", Date.now());
      const own = randomBytes(32).toString("base64url");
      const columns = "tenant_id, name, permissions, owner, expires_at, revoked_at, created_at, created_by, seal";
      await run([
        `insert into auth.api_key (id, digest, ${columns}) select '${mine}',
          ${bytea(createHash("sha256").update(own).digest())}, ${columns} from auth.api_key where id = '${id}'`,
      ]);
      const parts = secret.split("_");
      await assertRefused([parts[0], parts[1], mine.slice("apikey_".length), own].join("_"));
    });
  });

  it("brings no revoked node back by taking out its denial", async () => {
    const side = await newSide(installation, "denials");
    const member = await side.newMember();
    await side.revoke(member);
    await run([
      `delete from auth.denial where subject like '%${member.nodeId}'`,
      `delete from auth.change where object_id like '%${member.nodeId}'`,
    ]);
    const worker = await newInstallation({ kind: "postgres", beside: installation });
    const told = await refusalOf(invoke(worker.holder(member.credential), NetmapService.method.watch, {}));
    assert.deepEqual([told.code, told.reason], ["PermissionDenied", "NODE_REVOKED"]);
    await worker.close();
  });

  it("finds no secret in any table", async () => {
    const side = await newSide(installation, "secrets");
    const token = parseJoinString(await side.newToken());
    await side.newMember();
    const master = installation.context("auth").keys;
    assert.ok(master);
    const secrets: Buffer[] = [Buffer.from(token.secret)];
    for (const apiKey of [side.admin, installation.ownerKey]) {
      const text = apiKey.slice(-43);
      secrets.push(Buffer.from(text), Buffer.from(text, "base64url"));
    }
    for (const service of ["registry", "policy", "netmap"] as const) {
      const [row] = await installation.asSuperuser(
        `select wrapped_seed from ${service}.signing_key where tenant_id = '${side.tenantId}'`,
      );
      if (!row) continue;
      const wrapped = new Uint8Array(row["wrapped_seed"] as Buffer);
      secrets.push(Buffer.from(await master.unwrap(`${service}/signing-key/${side.tenantId}`, wrapped)));
    }
    assert.ok(secrets.length > 5, "too few secrets to look for");
    const tables = await installation.asSuperuser(
      `select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and n.nspname in ('auth', 'registry', 'policy', 'netmap', 'drizzle')`,
    );
    assert.ok(tables.length > 20);
    for (const { name } of tables) {
      const rows = await installation.asSuperuser(`select to_jsonb(t)::text as row from ${String(name)} t`);
      const text = rows.map(({ row }) => String(row)).join("\n");
      for (const secret of secrets) {
        const forms = [
          secret.toString("hex"),
          secret.toString("base64"),
          secret.toString("base64url"),
          secret.toString("latin1"),
        ];
        for (const form of forms) assert.ok(!text.includes(form), `${String(name)} holds a secret`);
      }
    }
  });
});
