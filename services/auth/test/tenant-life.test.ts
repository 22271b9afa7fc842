import assert from "node:assert/strict";
import { ApiKeyService, AuthService, CertificateService, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import type { Change } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { newId, type TenantId } from "@cloudvlan/kit/ids";
import { type TestCa, withStores } from "@cloudvlan/kit/testing";
import { eq } from "drizzle-orm";
import { endTenantsDeniedBefore } from "../denied-before.ts";
import { tenants } from "../schema.ts";
import { type AuthUnderTest, newTenant, person, refusalOf, service, startAuth, startTestCa } from "./harness.ts";

const operator = person(undefined);
const registry = service("registry");

describe("auth: the life of a tenant", function () {
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

    const life = () => auth.as(TenantService, operator);
    const suspend = (tenantId: string) => life().updateTenant({ tenantId, status: Status.SUSPENDED });
    async function gone(): Promise<TenantId> {
      const { id: tenantId } = await newTenant(auth);
      await suspend(tenantId);
      await life().deleteTenant({ tenantId });
      return tenantId;
    }
    /** Everything that is told from the start. */
    async function told(): Promise<Change[]> {
      for await (const { changes } of auth.as(AuthService, registry).watchChanges({ since: 0n })) return changes;
      return [];
    }
    const standingOf = async (tenantId: string) =>
      (await told()).flatMap(({ change }) =>
        change.case === "tenant" && change.value.tenantId === tenantId ? [change.value.status] : [],
      );

    it("gives another name, from the revision that was looked at alone", async () => {
      const { id: tenantId } = await newTenant(auth);
      const name = "renamed-by-its-operator";
      const { tenant } = await life().updateTenant({ tenantId, name, baseRevision: 1n });
      assert.deepEqual([tenant?.name, tenant?.revision, tenant?.status], [name, 2n, Status.ACTIVE]);
      const late = await refusalOf(life().updateTenant({ tenantId, name: "late", baseRevision: 1n }));
      assert.deepEqual([late.reason, late.field], ["TENANT_REVISION_CHANGED", "base_revision"]);
      const { tenant: again } = await life().updateTenant({ tenantId, name });
      assert.equal(again?.revision, 2n, "a repetition changes nothing");
      const { name: taken } = await newTenant(auth);
      assert.equal((await refusalOf(life().updateTenant({ tenantId, name: taken }))).reason, "TENANT_NAME_TAKEN");
      assert.deepEqual((await life().getTenant({ tenantId })).tenant, tenant);
      assert.deepEqual(await standingOf(tenantId), [], "a name is no standing");
    });

    it("suspends and resumes: keys refused and told why, keysets kept, nothing new", async () => {
      const { id: tenantId } = await newTenant(auth);
      const keys = auth.as(ApiKeyService, operator);
      const made = await keys.createApiKey({ tenantId, name: "k", scope: { permissions: [Permission.TENANT_READ] } });
      const authenticate = () => auth.as(AuthService, registry).authenticate({ apiKey: made.secret });
      await authenticate();
      await suspend(tenantId);
      assert.equal((await refusalOf(authenticate())).reason, "TENANT_SUSPENDED");
      const wrong = `${made.secret.slice(0, -1)}${made.secret.endsWith("A") ? "E" : "A"}`;
      const guess = auth.as(AuthService, registry).authenticate({ apiKey: wrong });
      assert.equal((await refusalOf(guess)).reason, "CREDENTIAL_REFUSED", "only who has the secret is told");
      const another = keys.createApiKey({ tenantId, name: "l", scope: { permissions: [Permission.TENANT_READ] } });
      assert.equal((await refusalOf(another)).reason, "TENANT_SUSPENDED");
      const nodeId = newId("node", Date.now());
      const csr = new Uint8Array(64);
      const mint = auth.as(CertificateService, registry).mintCertificate({ tenantId, nodeId, csr });
      assert.notEqual((await refusalOf(mint)).reason, "");
      await auth.as(AuthService, registry).getKeyset({ tenantId });
      const publicKey = new Uint8Array(32).fill(7);
      await auth.as(AuthService, registry).delegateKey({ tenantId, role: KeyRole.ENROL, publicKey });
      assert.deepEqual(await standingOf(tenantId), [Status.SUSPENDED]);

      await life().updateTenant({ tenantId, status: Status.ACTIVE });
      await authenticate();
      assert.deepEqual(await standingOf(tenantId), [Status.ACTIVE]);
    });

    it("deletes only what is suspended, for good, and frees its name", async () => {
      const { id: tenantId, name } = await newTenant(auth);
      const early = await refusalOf(life().deleteTenant({ tenantId }));
      assert.deepEqual([early.reason, early.remedy.startsWith("suspend it first")], ["TENANT_NOT_SUSPENDED", true]);
      const { tenant } = await suspend(tenantId);
      assert.equal(
        (await refusalOf(life().deleteTenant({ tenantId, baseRevision: 1n }))).reason,
        "TENANT_REVISION_CHANGED",
      );
      const { tenant: deleted } = await life().deleteTenant({
        tenantId,
        ...(tenant && { baseRevision: tenant.revision }),
      });
      assert.equal(deleted?.status, Status.DELETED);
      assert.deepEqual((await life().deleteTenant({ tenantId })).tenant, deleted, "again, it is as it was");
      assert.equal((await refusalOf(suspend(tenantId))).reason, "TENANT_NOT_FOUND");
      assert.equal(
        (await refusalOf(auth.as(AuthService, registry).getKeyset({ tenantId }))).reason,
        "TENANT_NOT_FOUND",
      );
      const listed = async (showDeleted: boolean) =>
        (await life().listTenants({ showDeleted, pagination: { pageSize: 1000 } })).tenants.some(
          ({ id }) => id === tenantId,
        );
      assert.deepEqual([await listed(false), await listed(true)], [false, true]);
      await life().createTenant({ name });
      const changes = await told();
      assert.ok(
        changes.some(({ change }) => change.case === "denial" && change.value.subject === `tenant:${tenantId}`),
      );
    });

    it("tells how a tenant stands from its sealed row, not from the stream's", async () => {
      const { id: tenantId } = await newTenant(auth);
      await suspend(tenantId);
      const db = auth.ctx.db;
      const active = { case: "tenant" as const, value: { tenantId, status: Status.ACTIVE, revision: 9n } };
      await db.platform((tx) =>
        auth.ctx.changes.append(tx, "auth", [{ objectId: `standing:${tenantId}`, change: active as Change["change"] }]),
      );
      assert.deepEqual(await standingOf(tenantId), [Status.SUSPENDED]);
      await db.platform((tx) => tx.update(tenants).set({ status: Status.ACTIVE }).where(eq(tenants.id, tenantId)));
      assert.deepEqual(await standingOf(tenantId), [Status.SUSPENDED], "a row that was changed is not believed");
      assert.deepEqual(auth.errors.splice(0), ["the seal of a row does not hold; it was changed behind our back"]);
    });

    it("deletes a tenant again that a restored database has back", async () => {
      const { id: tenantId } = await newTenant(auth);
      const other = await gone();
      const deniedBefore = [`tenant:${tenantId}`, `tenant:${other}`, "tenant:nonsense"];
      await endTenantsDeniedBefore({ ...auth.ctx, deniedBefore }, new AbortController().signal);
      assert.equal((await life().getTenant({ tenantId })).tenant?.status, Status.DELETED);
    });

    it("reads one API key", async () => {
      const { id: tenantId } = await newTenant(auth);
      const keys = auth.as(ApiKeyService, operator);
      const { apiKey } = await keys.createApiKey({
        tenantId,
        name: "k",
        scope: { permissions: [Permission.TENANT_READ] },
      });
      const apiKeyId = apiKey?.id ?? "";
      assert.deepEqual((await keys.getApiKey({ tenantId, apiKeyId })).apiKey, apiKey);
      const { id: foreign } = await newTenant(auth);
      assert.equal((await refusalOf(keys.getApiKey({ tenantId: foreign, apiKeyId }))).reason, "API_KEY_NOT_FOUND");
    });

    it("logs nothing as an error in all of this", () => assert.deepEqual(auth.errors, []));
  });
});
