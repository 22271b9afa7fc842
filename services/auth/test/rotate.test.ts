import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { AuthService, TenantKeys, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole, KeysetSchema, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type TenantId } from "@cloudvlan/kit/ids";
import { descendsFromPinned, MAX_ROOT_TRANSITIONS, rootKeysOf, verifyRecord } from "@cloudvlan/kit/sign";
import { type TestCa, withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import { type AuthUnderTest, newTenant, person, refusalOf, service, startAuth, startTestCa } from "./harness.ts";

describe("auth: rotation of a tenant's root key", function () {
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

    const rotate = (tenantId: TenantId, on = auth) =>
      on.as(TenantService, person(tenantId)).rotateTenantKeys({ tenantId, which: TenantKeys.ROOT });
    const keysetOf = (tenantId: TenantId) => auth.as(AuthService, service("netmap")).getKeyset({ tenantId });
    const delegate = (tenantId: TenantId, publicKey: Uint8Array) =>
      auth.as(AuthService, service("registry")).delegateKey({ tenantId, role: KeyRole.ENROL, publicKey });

    it("has the same keys signed by a root key that the former one signed, and tells of it", async () => {
      const { id: tenantId } = await newTenant(auth);
      const { keyId } = await delegate(tenantId, randomBytes(32));
      const before = await keysetOf(tenantId);
      assert.deepEqual(before.rootTransitions, []);
      const { tenant, keysetVersion } = await rotate(tenantId);
      const after = await keysetOf(tenantId);
      assert.deepEqual(rootKeysOf(tenantId, after.rootTransitions), [before.rootPublicKey, after.rootPublicKey]);
      assert.deepEqual(
        tenant?.rootKeySha256,
        new Uint8Array(createHash("sha256").update(after.rootPublicKey).digest()),
      );

      assert.ok(after.keyset && before.keyset);
      assert.ok(verifyRecord(after.rootPublicKey, "keyset", after.keyset));
      assert.equal(verifyRecord(before.rootPublicKey, "keyset", after.keyset), false);
      const [was, is] = [before.keyset, after.keyset].map(({ payload }) => fromBinary(KeysetSchema, payload));
      assert.equal(is?.version, (was?.version ?? 0n) + 1n);
      assert.equal(keysetVersion, is?.version);
      assert.deepEqual(is?.keys, was?.keys);
      assert.equal(is?.keys[0]?.keyId, keyId);

      const { changes } = await auth.ctx.changes.read(undefined, "auth", 0n);
      const told = changes.find((change) => change.objectId === tenantId)?.change;
      assert.deepEqual(told, { case: "keyset", value: toBinary(SignedSchema, after.keyset) });
      const again = await delegate(tenantId, randomBytes(32));
      assert.ok(again.keyset && verifyRecord(after.rootPublicKey, "keyset", again.keyset), "the new root signs on");
    });

    it("goes on from each root key to the next, whoever else changes the keyset", async () => {
      const { id: tenantId } = await newTenant(auth);
      const { rootPublicKey: pinned } = await keysetOf(tenantId);
      const other = await startAuth({ store: await under.openAgain(), ca });
      const keys = Array.from({ length: 4 }, () => randomBytes(32));
      await Promise.all([
        rotate(tenantId),
        rotate(tenantId, other),
        rotate(tenantId),
        ...keys.map((key) => delegate(tenantId, key)),
      ]);
      const { keyset, rootPublicKey, rootTransitions } = await keysetOf(tenantId);
      assert.equal(rootTransitions.length, 3);
      assert.ok(
        descendsFromPinned(tenantId, (key) => Buffer.compare(key, pinned) === 0, rootTransitions, rootPublicKey),
      );
      assert.ok(keyset && verifyRecord(rootPublicKey, "keyset", keyset));
      const { version, keys: kept } = fromBinary(KeysetSchema, keyset.payload);
      assert.deepEqual([version, kept.length], [7n, 4]);
    });

    it("ends when nodes could not follow any further", async () => {
      const { id: tenantId } = await newTenant(auth);
      for (let made = 0; made < MAX_ROOT_TRANSITIONS; made++) await rotate(tenantId);
      assert.equal((await refusalOf(rotate(tenantId))).reason, "ROOT_ROTATIONS_EXHAUSTED");
      assert.equal((await keysetOf(tenantId)).rootTransitions.length, MAX_ROOT_TRANSITIONS);
    });

    it("serves no transition that was changed in the database", async () => {
      const [{ id: tenantId }, { id: stranger }] = [await newTenant(auth), await newTenant(auth)];
      await rotate(tenantId);
      await rotate(stranger);
      await auth.ctx.db.platform((tx) =>
        tx.execute(
          sql`update root_transition set signed = (select signed from root_transition where tenant = ${stranger}) where tenant = ${tenantId}`,
        ),
      );
      await assert.rejects(keysetOf(tenantId), /internal/i);
      assert.equal((await keysetOf(stranger)).rootTransitions.length, 1);
      const seen = await auth.ctx.db.tenant(stranger, (tx) => tx.execute(sql`select tenant from root_transition`));
      assert.deepEqual((seen as unknown as { rows: unknown[] }).rows, [{ tenant: stranger }]);
    });
  });
});
