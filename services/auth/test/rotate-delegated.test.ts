import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { AuthService, KeyRotationStage, TenantKeys, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole, KeysetSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { ServiceName } from "@cloudvlan/kit/caller";
import { type TenantId } from "@cloudvlan/kit/ids";
import { type TestCa, withStores } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import { type AuthUnderTest, newTenant, person, refusalOf, service, startAuth, startTestCa } from "./harness.ts";

const { SIGNING, MAPPING, DONE, REQUESTED } = KeyRotationStage;

describe("auth: rotation of a tenant's delegated keys", function () {
  this.timeout(120_000);
  let ca: TestCa;
  before(async () => {
    ca = await startTestCa();
  });
  after(() => ca[Symbol.asyncDispose]());

  withStores((under) => {
    let auth: AuthUnderTest;
    let tenantId: TenantId;
    let former: Uint8Array;
    before(async () => {
      auth = await startAuth({ store: under.store, ca });
    });
    beforeEach(async () => {
      ({ id: tenantId } = await newTenant(auth));
      former = randomBytes(32);
    });

    const delegate = async (publicKey: Uint8Array) =>
      (await auth.as(AuthService, service("registry")).delegateKey({ tenantId, role: KeyRole.ENROL, publicKey })).keyId;
    const rotate = async (which = TenantKeys.ENROL) =>
      (await auth.as(TenantService, person(tenantId)).rotateTenantKeys({ tenantId, which })).rotation;
    const report = async (by: ServiceName, keyId: string, stage: KeyRotationStage, left = 0n) =>
      (await auth.as(AuthService, service(by)).reportKeyRotation({ tenantId, role: KeyRole.ENROL, keyId, stage, left }))
        .rotation;
    const keyIds = async () => {
      const { keyset } = await auth.as(AuthService, service("netmap")).getKeyset({ tenantId });
      return fromBinary(KeysetSchema, keyset?.payload ?? new Uint8Array()).keys.map(({ keyId }) => keyId);
    };
    const listed = async () =>
      (await auth.as(TenantService, person(tenantId)).listKeyRotations({ tenantId })).rotations;

    it("goes from stage to stage, and the former key leaves the keyset with the last, for good", async () => {
      const old = await delegate(former);
      const asked = await rotate();
      assert.deepEqual([asked?.stage, asked?.formerKeyIds, asked?.keyId], [REQUESTED, [old], ""]);
      const next = await delegate(randomBytes(32));
      assert.equal((await report("registry", next, SIGNING, 7n))?.left, 7n);
      assert.deepEqual((await rotate())?.stage, SIGNING, "it is under way");
      assert.equal((await refusalOf(report("netmap", next, DONE))).reason, "RECORDS_NOT_SIGNED");
      await report("registry", next, MAPPING);
      assert.equal(
        (await report("registry", next, SIGNING, 3n))?.stage,
        MAPPING,
        "a worker that is behind takes nothing back",
      );
      assert.deepEqual(await keyIds(), [old, next]);
      await report("netmap", next, DONE);
      assert.deepEqual(await keyIds(), [next]);
      assert.equal((await report("netmap", next, DONE))?.stage, DONE, "and again");
      assert.deepEqual(
        (await listed()).map(({ stage }) => stage),
        [DONE],
      );
      assert.equal((await refusalOf(delegate(former))).reason, "KEY_RETIRED");
      assert.deepEqual((await rotate())?.formerKeyIds, [next], "the next one begins");
    });

    it("is told to services until it is done, of every tenant", async () => {
      const old = await delegate(former);
      await rotate();
      const { rotations } = await auth.as(AuthService, service("policy")).listUnfinishedKeyRotations({});
      const ours = rotations.filter((each) => each.tenantId === tenantId);
      assert.deepEqual(
        ours.map(({ role, formerKeyIds }) => [role, formerKeyIds]),
        [[KeyRole.ENROL, [old]]],
      );
    });

    it("is reported by those whose stage it is, with the new key, while there is one", async () => {
      const old = await delegate(former);
      const next = await delegate(randomBytes(32));
      assert.equal((await refusalOf(report("registry", next, SIGNING))).reason, "NO_KEY_ROTATION");
      assert.equal((await refusalOf(rotate(TenantKeys.MAP))).reason, "KEY_NOT_IN_USE");
      await rotate();
      const third = await delegate(randomBytes(32));
      assert.equal((await refusalOf(report("policy", third, SIGNING))).reason, "STAGE_NOT_YOURS");
      assert.equal((await refusalOf(report("registry", third, DONE))).reason, "STAGE_NOT_YOURS");
      for (const wrong of [old, next, "key_0189abcd-0000-7000-8000-00000000000c"])
        assert.equal((await refusalOf(report("registry", wrong, SIGNING))).reason, "KEY_NOT_THE_NEW_ONE");
      await report("registry", third, MAPPING);
      assert.deepEqual((await keyIds()).length, 3);
    });

    it("is not what somebody wrote into the database", async () => {
      await delegate(former);
      await rotate();
      const next = await delegate(randomBytes(32));
      await auth.ctx.db.platform((tx) => tx.execute(sql`update key_rotation set stage = 3 where tenant = ${tenantId}`));
      assert.deepEqual(await listed(), []);
      assert.equal((await refusalOf(report("netmap", next, DONE))).reason, "NO_KEY_ROTATION");
      assert.ok(auth.errors.splice(0).some((message) => message.includes("seal")));
      assert.equal((await rotate())?.stage, REQUESTED, "it can be asked for again");
    });
  });
});
