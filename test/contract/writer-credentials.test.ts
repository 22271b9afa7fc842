import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiKeyService, CertificateService, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { EnrollmentService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { newId } from "@cloudvlan/kit/ids";
import { createClient } from "@connectrpc/connect";
import { auditRows } from "./audit-rows.ts";
import { bytea } from "./forgery.ts";
import { type Installation, newInstallation } from "./installation.ts";
import { formatJoinString, joinRequest, newMachineKeys, parseJoinString } from "./member.ts";
import { invoke, refusalOf } from "./outcome.ts";
import { newSide, type Side } from "./world.ts";

describe("somebody who can write every table and has no key", function () {
  this.timeout(120_000);
  let installation: Installation;

  before(async () => {
    installation = await newInstallation({ kind: "postgres" });
  });
  after(() => installation.close());

  async function run(statements: readonly string[]): Promise<void> {
    for (const statement of statements) await installation.asSuperuser(statement);
  }

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
    const watch = (worker: Installation) =>
      refusalOf(invoke(worker.holder(member.credential), NetmapService.method.watch, {}));
    const data = mkdtempSync(join(tmpdir(), "cvlan-new-worker-"));
    cpSync(installation.data, data, { recursive: true });
    rmSync(join(data, "denials"));
    const fresh = await newInstallation({ kind: "postgres", beside: { ...installation, data } });
    rmSync(data, { recursive: true });
    const byFresh = await watch(fresh);
    await fresh.close();
    assert.deepEqual([byFresh.code, byFresh.reason], ["PermissionDenied", "NODE_REVOKED"]);

    const restarted = await newInstallation({ kind: "postgres", beside: installation });
    const byRestarted = await watch(restarted);
    const request = { csr: (await newMachineKeys()).csr };
    const byRenewal = await refusalOf(
      invoke(restarted.holder(member.credential), CertificateService.method.renewCertificate, request),
    );
    await restarted.close();
    assert.deepEqual([byRestarted.code, byRestarted.reason], ["Unauthenticated", "IDENTITY_DENIED"]);
    assert.equal(byRenewal.reason, "IDENTITY_DENIED", "it gets no certificate any more");
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
