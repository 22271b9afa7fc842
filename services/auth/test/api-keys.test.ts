import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ApiKeyService, AuthService, CallContextSchema } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { ApiKeyStatus } from "@cloudvlan/gen/entity/v1/api_key_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { newId, type TenantId } from "@cloudvlan/kit/ids";
import { sealOf } from "@cloudvlan/kit/keys";
import { verifyRecord } from "@cloudvlan/kit/sign";
import { type TestCa, withStores } from "@cloudvlan/kit/testing";
import { eq, sql } from "drizzle-orm";
import { formatApiKey } from "../domain/api-key.ts";
import { API_KEY_TABLE, apiKeyFields } from "../domain/seals.ts";
import { apiKeys } from "../schema.ts";
import { type AuthUnderTest, newTenant, person, refusalOf, service, startAuth, startTestCa } from "./harness.ts";

const scope = { permissions: [Permission.NODE_READ, Permission.CVLAN_READ] };

describe("auth: API keys", function () {
  this.timeout(120_000);
  let ca: TestCa;
  before(async () => {
    ca = await startTestCa();
  });
  after(() => ca[Symbol.asyncDispose]());

  withStores((under) => {
    let auth: AuthUnderTest;
    let ownerFile: string;
    let tenantId: TenantId;
    before(async () => {
      ownerFile = join(ca.folder, under.kind, "platform-owner.key");
      auth = await startAuth({ store: under.store, ca, config: { owner_key_file: ownerFile } });
      ({ id: tenantId } = await newTenant(auth));
    });

    const keys = (permissions?: Permission[]) => auth.as(ApiKeyService, person(tenantId, permissions));
    const authenticate = (apiKey: string) =>
      auth.as(AuthService, service("registry")).authenticate({ apiKey, requestId: "request-2" });

    it("authenticate their holder, with a context that auth signed and that lives 60 s", async () => {
      const { apiKey, secret } = await keys().createApiKey({ tenantId, name: "ci", scope });
      const { context } = await authenticate(secret);
      const { keys: contextKeys } = await auth.as(AuthService, service("policy")).getContextKeys({});
      const signer = contextKeys.find((key) => key.keyId === context?.keyId);
      assert.ok(context && signer && verifyRecord(signer.publicKey, "call-context", context));
      const said = fromBinary(CallContextSchema, context.payload);
      assert.equal(said.subject, `apikey:${apiKey?.id}`);
      assert.equal(said.tenantId, tenantId);
      assert.deepEqual(said.permissions, scope.permissions);
      assert.equal(said.requestId, "request-2");
      assert.ok(said.issuedAt && said.expiresAt);
      assert.equal(timestampMs(said.expiresAt) - timestampMs(said.issuedAt), 60_000);
    });

    it("have never more permissions than their maker, nor those of services", async () => {
      const maker = keys([Permission.API_KEY_WRITE, Permission.NODE_READ]);
      await maker.createApiKey({ tenantId, name: "own", scope: { permissions: [Permission.NODE_READ] } });
      const more = maker.createApiKey({ tenantId, name: "more", scope });
      assert.equal((await refusalOf(more)).reason, "SCOPE_EXCEEDS_OWN");
      const platform = keys().createApiKey({ tenantId, name: "x", scope: { permissions: [Permission.CONTROL_PLANE] } });
      assert.equal((await refusalOf(platform)).reason, "SCOPE_EXCEEDS_OWN");
      const bySelf = auth.as(ApiKeyService, service("registry")).createApiKey({ tenantId, name: "x", scope });
      assert.equal((await refusalOf(bySelf)).reason, "NO_AUTHORITY");
      const short = keys().createApiKey({ tenantId, name: "x", scope, ttlSeconds: 59 });
      assert.equal((await refusalOf(short)).reason, "TTL_TOO_SHORT");
      const nowhere = keys().createApiKey({ tenantId: newId("tenant", Date.now()), name: "x", scope });
      assert.equal((await refusalOf(nowhere)).reason, "TENANT_NOT_FOUND");
    });

    it("are refused in the same words, whatever is wrong", async () => {
      const make = async (ttlSeconds = 0) => keys().createApiKey({ tenantId, name: "n", scope, ttlSeconds });
      const good = await make();
      const expired = await make(60);
      const revoked = await make();
      const tampered = await make();
      await keys().revokeApiKey({ tenantId, apiKeyId: revoked.apiKey?.id ?? "" });
      await auth.ctx.db.tenant(tenantId, (tx) =>
        tx.execute(sql`update api_key set permissions = '{10,11}' where id = ${tampered.apiKey?.id}`),
      );
      const other = newId("tenant", Date.now());
      const wrong = [
        "cvk_nonsense-of-some-length",
        formatApiKey({ tenantId, keyId: newId("apikey", Date.now()), secret: randomBytes(32).toString("base64url") }),
        `${good.secret.slice(0, -2)}${good.secret.endsWith("AA") ? "BB" : "AA"}`,
        good.secret.replace(tenantId.slice(7), other.slice(7)),
        good.secret.replace(tenantId.slice(7), "platform"),
        revoked.secret,
        tampered.secret,
      ];
      const refusals = [];
      for (const secret of wrong) refusals.push(await refusalOf(authenticate(secret)));
      auth.clock.forward(61_000);
      refusals.push(await refusalOf(authenticate(expired.secret)));
      auth.clock.forward(-61_000);
      for (const refusal of refusals) assert.deepEqual(refusal, refusals[0]);
      await authenticate(good.secret);
    });

    it("do not come back to life by a row that somebody wrote", async () => {
      const { apiKey, secret } = await keys().createApiKey({ tenantId, name: "n", scope, ttlSeconds: 60 });
      await auth.ctx.db.tenant(tenantId, (tx) =>
        tx.execute(sql`update api_key set expires_at = expires_at + interval '1 year' where id = ${apiKey?.id}`),
      );
      await refusalOf(authenticate(secret));
      const forged = formatApiKey({ tenantId: undefined, keyId: newId("apikey", Date.now()), secret: "A".repeat(43) });
      await auth.ctx.db.platform((tx) =>
        tx.execute(sql`insert into api_key select null, ${`apikey_${forged.split("_")[2]}`}, name,
          sha256(convert_to(${"A".repeat(43)}, 'utf8')), permissions, false, expires_at, null, created_at, created_by, seal
          from api_key where owner`),
      );
      await refusalOf(authenticate(forged));
    });

    it("are listed without secrets, revoked once, and their denial is told", async () => {
      const { apiKey, secret } = await keys().createApiKey({ tenantId, name: "listed", scope });
      const apiKeyId = apiKey?.id ?? "";
      const list = await keys().listApiKeys({ tenantId });
      assert.ok(list.apiKeys.some((key) => key.id === apiKeyId && key.status === ApiKeyStatus.ACTIVE));
      assert.ok(
        !JSON.stringify(list, (_key, value) => (typeof value === "bigint" ? Number(value) : value)).includes(secret),
      );

      const first = await keys().revokeApiKey({ tenantId, apiKeyId });
      const again = await keys().revokeApiKey({ tenantId, apiKeyId });
      assert.equal(first.apiKey?.status, ApiKeyStatus.REVOKED);
      assert.deepEqual(again, first);
      const { changes } = await auth.ctx.changes.read(undefined, "auth", 0n);
      const told = changes.filter((change) => change.objectId === `apikey:${apiKeyId}`);
      assert.equal(told.length, 1);
      const unknown = keys().revokeApiKey({ tenantId, apiKeyId: newId("apikey", Date.now()) });
      assert.equal((await refusalOf(unknown)).reason, "API_KEY_NOT_FOUND");
    });

    it("say whose they are", async () => {
      const me = await keys([Permission.NODE_READ]).whoAmI({});
      assert.deepEqual([me.tenantId, me.permissions], [tenantId, [Permission.NODE_READ]]);
      assert.match(me.tenantName, /^tenant-/);
      const platform = await auth.as(ApiKeyService, person(undefined)).whoAmI({});
      assert.deepEqual([platform.tenantId, platform.tenantName], ["", ""]);
    });

    it("begin with the owner's, made once, for its owner's eyes, through any number of starts", async () => {
      assert.equal((await stat(ownerFile)).mode & 0o777, 0o600);
      const owner = (await readFile(ownerFile, "utf8")).trim();
      const { context } = await authenticate(owner);
      assert.ok(context);
      const said = fromBinary(CallContextSchema, context.payload);
      assert.equal(said.tenantId, "");
      assert.ok(said.permissions.includes(Permission.TENANT_WRITE));
      assert.ok(!said.permissions.includes(Permission.CONTROL_PLANE));

      await startAuth({ store: under.store, ca, config: { owner_key_file: `${ownerFile}.second` } });
      await assert.rejects(stat(`${ownerFile}.second`));
      await authenticate((await readFile(ownerFile, "utf8")).trim());
    });

    it("give the owner rights that did not exist when its row was written", async () => {
      const [row] = await auth.ctx.db.platform((tx) => tx.select().from(apiKeys).where(eq(apiKeys.owner, true)));
      assert.ok(row);
      const fields = { ...row, permissions: row.permissions.filter((each) => each !== Permission.AUDIT_READ) };
      const seal = sealOf(auth.ctx.keys, API_KEY_TABLE, apiKeyFields(fields));
      const { permissions } = fields;
      await auth.ctx.db.platform((tx) => tx.update(apiKeys).set({ permissions, seal }).where(eq(apiKeys.owner, true)));
      const { context } = await authenticate((await readFile(ownerFile, "utf8")).trim());
      assert.ok(context);
      assert.ok(fromBinary(CallContextSchema, context.payload).permissions.includes(Permission.AUDIT_READ));
    });

    it("of an owner whose first start was killed go on from the file", async () => {
      const secret = formatApiKey({
        tenantId: undefined,
        keyId: newId("apikey", Date.now()),
        secret: randomBytes(32).toString("base64url"),
      });
      const file = join(ca.folder, `${under.kind}-killed.key`);
      await writeFile(file, `${secret}\n`, { mode: 0o600 });
      await auth.ctx.db.platform((tx) => tx.execute(sql`delete from api_key where owner`));
      await startAuth({ store: under.store, ca, config: { owner_key_file: file } });
      await authenticate(secret);
    });

    it("are of no use to a worker with another master key: it does not start", async () => {
      await assert.rejects(
        startAuth({ store: under.store, ca, masterKey: "other.key" }),
        /not made by this key provider/,
      );
    });
  });
});
