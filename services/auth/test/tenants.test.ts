import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { AuthService, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole, KeysetSchema, type Signed } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { newId, type TenantId } from "@cloudvlan/kit/ids";
import { verifyRecord } from "@cloudvlan/kit/sign";
import { type TestCa, withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import { type AuthUnderTest, newTenant, person, refusalOf, service, startAuth, startTestCa } from "./harness.ts";

const operator = person(undefined);

describe("auth: tenants and keysets", function () {
  this.timeout(120_000);
  let ca: TestCa;
  before(async () => {
    ca = await startTestCa();
  });
  after(() => ca[Symbol.asyncDispose]());

  withStores((under) => {
    let auth: AuthUnderTest;
    before(async () => {
      auth = await startAuth({ store: under.store, ca });
    });

    const open = (keyset: Signed | undefined, root: Uint8Array) => {
      assert.ok(keyset && verifyRecord(root, "keyset", keyset));
      return fromBinary(KeysetSchema, keyset.payload);
    };

    it("gives a tenant a root key and a keyset in which nobody may sign", async () => {
      const tenant = await newTenant(auth);
      const { id: tenantId } = tenant;
      const { keyset, rootPublicKey } = await auth.as(AuthService, service("registry")).getKeyset({ tenantId });
      assert.deepEqual(tenant.rootKeySha256, new Uint8Array(createHash("sha256").update(rootPublicKey).digest()));
      assert.deepEqual(
        { ...open(keyset, rootPublicKey), issuedAt: undefined },
        {
          ...open(keyset, rootPublicKey),
          issuedAt: undefined,
          tenantId,
          version: 0n,
          keys: [],
        },
      );
      const { tenant: read } = await auth.as(TenantService, operator).getTenant({ tenantId });
      assert.deepEqual(read, tenant);
    });

    it("refuses a name that is taken, and what does not exist", async () => {
      const tenants = auth.as(TenantService, operator);
      await tenants.createTenant({ name: "taken" });
      assert.equal((await refusalOf(tenants.createTenant({ name: "taken" }))).reason, "TENANT_NAME_TAKEN");
      const unknown = newId("tenant", Date.now());
      assert.equal((await refusalOf(tenants.getTenant({ tenantId: unknown }))).reason, "TENANT_NOT_FOUND");
      const malformed = `tenant_${"-".repeat(36)}`;
      assert.equal((await refusalOf(tenants.getTenant({ tenantId: malformed }))).reason, "ID_MALFORMED");
    });

    it("lists tenants page by page", async () => {
      const made = [await newTenant(auth), await newTenant(auth), await newTenant(auth)].map(({ id }) => id);
      const tenants = auth.as(TenantService, operator);
      const seen: string[] = [];
      for (let pageToken = "", first = true; first || pageToken !== ""; first = false) {
        const page = await tenants.listTenants({ pagination: { pageSize: 2, pageToken } });
        assert.ok(page.tenants.length <= 2);
        seen.push(...page.tenants.map((tenant) => tenant.id));
        pageToken = page.meta?.nextPageToken ?? "";
      }
      assert.ok(made.every((id) => seen.includes(id)));
      assert.equal(new Set(seen).size, seen.length);
      assert.equal(
        (await refusalOf(tenants.listTenants({ pagination: { pageToken: "x" } }))).reason,
        "PAGE_TOKEN_INVALID",
      );
    });

    it("delegates to each service its own role only, once for a key, and tells of it", async () => {
      const { id: tenantId } = await newTenant(auth);
      const key = new Uint8Array(randomBytes(32));
      const registry = auth.as(AuthService, service("registry"));
      const first = await registry.delegateKey({ tenantId, role: KeyRole.ENROL, publicKey: key });
      const again = await registry.delegateKey({ tenantId, role: KeyRole.ENROL, publicKey: key });
      assert.equal(again.keyId, first.keyId);
      assert.deepEqual(again.keyset, first.keyset);
      const keyset = open(first.keyset, first.rootPublicKey);
      assert.equal(keyset.version, 1n);
      assert.deepEqual(
        keyset.keys.map(({ keyId, role, publicKey }) => ({ keyId, role, publicKey })),
        [{ keyId: first.keyId, role: KeyRole.ENROL, publicKey: key }],
      );

      const asPolicy = registry.delegateKey({ tenantId, role: KeyRole.POLICY, publicKey: randomBytes(32) });
      assert.equal((await refusalOf(asPolicy)).reason, "ROLE_NOT_YOURS");
      const netmap = auth.as(AuthService, service("netmap"));
      const stolen = netmap.delegateKey({ tenantId, role: KeyRole.MAP, publicKey: key });
      assert.equal((await refusalOf(stolen)).reason, "KEY_HAS_ANOTHER_ROLE");
      const byAuth = auth.as(AuthService, service("auth")).delegateKey({ tenantId, role: KeyRole.MAP, publicKey: key });
      assert.equal((await refusalOf(byAuth)).reason, "CALLER_NOT_LET_IN");

      const { changes } = await auth.ctx.changes.read(undefined, "auth", 0n);
      const told = changes.find((change) => change.objectId === tenantId)?.change;
      assert.equal(told?.case, "keyset");
    });

    it("extends a key that runs out, under the same id", async () => {
      const { id: tenantId } = await newTenant(auth);
      const publicKey = randomBytes(32);
      const registry = auth.as(AuthService, service("registry"));
      const first = await registry.delegateKey({ tenantId, role: KeyRole.ENROL, publicKey });
      auth.clock.forward(300 * 86_400_000);
      const later = await registry.delegateKey({ tenantId, role: KeyRole.ENROL, publicKey });
      auth.clock.forward(-300 * 86_400_000);
      assert.equal(later.keyId, first.keyId);
      const keyset = open(later.keyset, later.rootPublicKey);
      assert.equal(keyset.version, 2n);
      assert.equal(keyset.keys.length, 1);
    });

    it("loses no key when workers ask at once", async () => {
      const { id: tenantId } = await newTenant(auth);
      const other = await startAuth({ store: await under.openAgain(), ca });
      const keys = Array.from({ length: 8 }, () => randomBytes(32));
      const answers = await Promise.all(
        keys.map((publicKey, index) =>
          (index % 2 === 0 ? auth : other)
            .as(AuthService, service("registry"))
            .delegateKey({ tenantId, role: KeyRole.ENROL, publicKey }),
        ),
      );
      assert.equal(new Set(answers.map((answer) => answer.keyId)).size, keys.length);
      const { keyset, rootPublicKey } = await auth.as(AuthService, service("netmap")).getKeyset({ tenantId });
      const final = open(keyset, rootPublicKey);
      assert.equal(final.version, BigInt(keys.length));
      assert.equal(final.keys.length, keys.length);
    });

    it("believes no tenant or keyset that was changed in the database", async () => {
      const { id: changed } = await newTenant(auth);
      const { id: swapped } = await newTenant(auth);
      const { id: victim } = await newTenant(auth);
      const read = (tenantId: TenantId) => auth.as(AuthService, service("registry")).getKeyset({ tenantId });
      const write = (statement: ReturnType<typeof sql>) => auth.ctx.db.platform((tx) => tx.execute(statement));

      await write(sql`update tenant set name = 'renamed' where id = ${changed}`);
      assert.equal((await refusalOf(read(changed))).reason, "TENANT_NOT_FOUND");
      assert.ok(auth.errors.some((message) => message.includes("seal")));
      const rows = await auth.ctx.db.tenant(changed, (tx) => tx.execute(sql`select outcome from audit_log`));
      assert.match(JSON.stringify(rows), /SEAL_BROKEN/);

      await write(
        sql`update tenant set keyset = (select keyset from tenant where id = ${victim}) where id = ${swapped}`,
      );
      await assert.rejects(read(swapped), /internal/i);
      const delegated = auth.as(AuthService, service("registry"));
      await write(
        sql`update tenant set root_seed = (select root_seed from tenant where id = ${swapped}) where id = ${victim}`,
      );
      await assert.rejects(
        delegated.delegateKey({ tenantId: victim, role: KeyRole.ENROL, publicKey: randomBytes(32) }),
      );
    });

    it("shows a tenant no other tenant, whatever is asked of the database", async () => {
      const { id: mine } = await newTenant(auth);
      await newTenant(auth);
      const seen = await auth.ctx.db.tenant(mine, (tx) => tx.execute<{ id: string }>(sql`select id from tenant`));
      const rows = (seen as unknown as { rows: { id: string }[] }).rows;
      assert.deepEqual(
        rows.map((row) => row.id),
        [mine],
      );
      const keys = await auth.ctx.db.tenant(mine, (tx) => tx.execute(sql`select key_id from context_key`));
      assert.deepEqual((keys as unknown as { rows: unknown[] }).rows, []);
    });
  });
});
