import assert from "node:assert/strict";
import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { ApiKeyService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { CallerKind, Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import {
  AuditService,
  EnrollmentService,
  GroupService,
  RegionService,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { accessOf, pathOf } from "@cloudvlan/kit/access";
import type { ServiceName } from "@cloudvlan/kit/caller";
import { createClient, type Transport } from "@connectrpc/connect";
import { sql } from "drizzle-orm";
import { services } from "@cloudvlan/all";
import { type AuditRow, auditRows } from "./audit-rows.ts";
import { type Installation, newInstallation } from "./installation.ts";
import { parseJoinString } from "./member.ts";
import { invoke, refusalOf } from "./outcome.ts";
import { type Ground, METHODS, sampleOf } from "./samples.ts";
import { newName, newSide, type Side } from "./world.ts";

const WRITERS = 50;
const WRITES_EACH = 4;

const CHANGING = METHODS.filter(({ idempotency }) => idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS);

function ownerOf(method: DescMethod): ServiceName {
  const owner = services.find(({ provides }) => provides.some(({ typeName }) => typeName === method.parent.typeName));
  if (!owner) throw new Error(`nobody serves ${pathOf(method)}`);
  return owner.name;
}

/** The same for no two rows of a tenant and the platform. */
const keyOf = ({ sequence, objectId, actor }: AuditRow): string => `${sequence} ${objectId} ${actor}`;

for (const kind of ["pglite", "postgres"] as const) {
  describe(`the audit log, on ${kind}`, function () {
    this.timeout(120_000);
    let installation: Installation;
    let side: Side;
    let other: Side;
    let ground: Ground;

    before(async () => {
      installation = await newInstallation({ kind });
      [side, other] = [await newSide(installation, "alice"), await newSide(installation, "bob")];
      ground = { installation, side, member: await side.newMember(), group: await side.newGroup() };
    });
    after(() => installation.close());

    /** Somebody who may make the call. */
    async function permitted(method: DescMethod): Promise<Transport> {
      const { anonymous, callers } = accessOf(method);
      if (anonymous) return installation.anonymous();
      if (callers.length === 0 || callers.includes(CallerKind.PERSON))
        return installation.person(installation.ownerKey);
      if (callers.includes(CallerKind.NODE)) return installation.holder(ground.member.credential);
      return installation.holder(await installation.certify({ kind: "service", name: "registry" }));
    }

    async function rowsOf(service: ServiceName, action: string): Promise<AuditRow[]> {
      const logs = [
        await auditRows(installation, service, side.tenantId),
        await auditRows(installation, service, undefined),
      ];
      return logs.flat().filter((row) => row.action === action);
    }

    describe("has one row for each call that changes something:", () => {
      for (const method of CHANGING) {
        it(pathOf(method), async () => {
          const service = ownerOf(method);
          const transport = await permitted(method);
          const request = await sampleOf(method)(ground);
          const known = new Set((await rowsOf(service, pathOf(method))).map(keyOf));
          await invoke(transport, method, request);
          const fresh = (await rowsOf(service, pathOf(method))).filter((row) => !known.has(keyOf(row)));
          // A join is two transactions, and each has its row.
          const done = fresh.filter(({ outcome }) => outcome !== "JOINING");
          assert.deepEqual(
            done.map(({ outcome }) => outcome),
            ["ok"],
          );
          assert.match(done[0]?.objectId ?? "", /^[a-z]+_[0-9a-f-]{36}$/);
          assert.match(done[0]?.actor ?? "", /^(apikey:apikey_|node:node_|service:|anonymous$)/);
          assert.equal(fresh.length, method === EnrollmentService.method.join ? 2 : 1);
        });
      }
    });

    it("has a row for what a known caller was refused, in its own tenant and not in the other", async () => {
      const narrow = await side.newKey([Permission.TAG_READ]);
      const before = await auditRows(installation, "registry", side.tenantId);
      const name = newName("group");
      const refused = async (apiKey: string, tenantId: string) => {
        const groups = createClient(GroupService, installation.person(apiKey));
        await refusalOf(groups.createGroup({ tenantId, cvlanId: side.cvlanId, name }));
      };
      await refused(narrow.secret, side.tenantId);
      await refused(other.admin, side.tenantId);
      const own = (await auditRows(installation, "registry", side.tenantId)).slice(before.length);
      assert.deepEqual(
        own.map(({ actor, outcome }) => [actor, outcome]),
        [[`apikey:${narrow.id}`, "PERMISSION_DENIED"]],
      );
      const theirs = (await auditRows(installation, "registry", other.tenantId)).at(-1);
      assert.equal(theirs?.outcome, "FOREIGN_TENANT");
    });

    it("has none for strangers, who would fill it", async () => {
      const before = await auditRows(installation, "registry", side.tenantId);
      const groups = createClient(GroupService, installation.anonymous());
      await refusalOf(groups.createGroup({ tenantId: side.tenantId, cvlanId: side.cvlanId, name: "x" }));
      const wrong = createClient(GroupService, installation.person(`${side.admin.slice(0, -2)}zz`));
      await refusalOf(wrong.createGroup({ tenantId: side.tenantId, cvlanId: side.cvlanId, name: "x" }));
      assert.equal((await auditRows(installation, "registry", side.tenantId)).length, before.length);
    });

    it("has no gap and no number twice under 50 writers at once, also of calls that fail", async () => {
      const admin = installation.person(side.admin);
      const [groups, enrolment, keys] = [
        createClient(GroupService, admin),
        createClient(EnrollmentService, admin),
        createClient(ApiKeyService, admin),
      ];
      const { tenantId, cvlanId } = side;
      const taken = newName("taken");
      await groups.createGroup({ tenantId, cvlanId, name: taken });
      let made = 0;
      const write = async (index: number): Promise<void> => {
        switch (index % 4) {
          case 0:
            await groups.createGroup({ tenantId, cvlanId, name: newName("group") });
            break;
          case 1: {
            const { joinString } = await enrolment.createJoinToken({ tenantId, cvlanId });
            await enrolment.revokeJoinToken({ tenantId, tokenId: parseJoinString(joinString).tokenId });
            break;
          }
          case 2:
            await refusalOf(groups.createGroup({ tenantId, cvlanId, name: taken }));
            break;
          default:
            await keys.createApiKey({ tenantId, name: newName("key"), scope: { permissions: [Permission.TAG_READ] } });
        }
        made += 1;
      };
      await Promise.all(
        Array.from({ length: WRITERS }, async (_, writer) => {
          for (let index = 0; index < WRITES_EACH; index++) await write(writer + index);
        }),
      );
      assert.equal(made, WRITERS * WRITES_EACH);
      for (const service of ["registry", "auth"] as const) {
        const numbers = (await auditRows(installation, service, tenantId)).map(({ sequence }) => sequence);
        assert.ok(numbers.length > WRITERS);
        assert.deepEqual(
          numbers,
          numbers.map((_, index) => index + 1),
        );
      }
    });

    it("numbers the platform's rows without gaps too", async () => {
      const regions = createClient(RegionService, installation.person(installation.ownerKey));
      await Promise.all(Array.from({ length: 20 }, () => regions.createRegion({ name: newName("region") })));
      const numbers = (await auditRows(installation, "registry", undefined)).map(({ sequence }) => sequence);
      assert.deepEqual(
        numbers,
        numbers.map((_, index) => index + 1),
      );
    });

    it("is read by whoever has the right, tenant by tenant, and the platform's by the platform alone", async () => {
      const { secret } = await side.newKey([Permission.AUDIT_READ]);
      const reader = createClient(AuditService, installation.person(secret));
      const { auditLogs } = await reader.listAuditLogs({ tenantId: side.tenantId, pagination: { pageSize: 1000 } });
      const rows = await auditRows(installation, "registry", side.tenantId);
      assert.ok(rows.length > 0);
      assert.deepEqual(
        auditLogs.map(({ sequence, actor, action, objectId, outcome }) => [
          Number(sequence),
          actor,
          action,
          objectId,
          outcome,
        ]),
        rows
          .slice(0, 1000)
          .map(({ sequence, actor, action, objectId, outcome }) => [sequence, actor, action, objectId, outcome]),
      );
      assert.equal((await refusalOf(reader.listAuditLogs({ tenantId: other.tenantId }))).code, "NotFound");
      assert.equal((await refusalOf(reader.listAuditLogs({}))).code, "NotFound");
      const owner = createClient(AuditService, installation.person(installation.ownerKey));
      const platform = await owner.listAuditLogs({});
      assert.ok(platform.auditLogs.length > 0 && platform.auditLogs.every(({ tenantId }) => tenantId === ""));
    });

    describe("cannot be changed:", () => {
      const statements = [
        "update audit_log set outcome = 'ok'",
        "delete from audit_log",
        "truncate audit_log",
        "drop table audit_log",
        "alter table audit_log disable trigger all",
      ];
      for (const statement of statements) {
        it(`${statement}, as a service`, async () => {
          for (const service of services.map(({ name }) => name)) {
            const before = await auditRows(installation, service, side.tenantId);
            const { db } = installation.context(service);
            await assert.rejects(
              db.tenant(side.tenantId, (tx) => tx.execute(sql.raw(statement))),
              /permission denied|must be owner|append-only/,
            );
            assert.deepEqual(await auditRows(installation, service, side.tenantId), before);
          }
        });
      }
      if (kind === "pglite") return;
      for (const statement of statements.slice(0, 3)) {
        it(`${statement}, as superuser, by the trigger`, async () => {
          const qualified = statement.replace("audit_log", "registry.audit_log");
          await assert.rejects(installation.asSuperuser(qualified), /append-only/);
        });
      }
    });
  });
}
