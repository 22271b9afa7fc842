import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, fromBinary, fromJson, type JsonValue, type MessageInitShape } from "@bufbuild/protobuf";
import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import {
  KeyRole,
  PolicyManifestSchema,
  type RuleRecord,
  RuleRecordSchema,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type Policy, PolicyDocumentSchema, type PolicySourceSchema } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import {
  ApplyPolicyRequestSchema,
  GetPolicyRequestSchema,
  WatchChangesRequestSchema,
} from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { auditLog } from "@cloudvlan/kit/audit";
import type { Caller } from "@cloudvlan/kit/caller";
import { changeStreams } from "@cloudvlan/kit/changes";
import { systemClock } from "@cloudvlan/kit/clock";
import { delegatedKeys } from "@cloudvlan/kit/delegation";
import { Refusal } from "@cloudvlan/kit/errors";
import { type CvlanId, newId, type TenantId } from "@cloudvlan/kit/ids";
import { fileKeyProvider, requireSeal } from "@cloudvlan/kit/keys";
import { verifyRecord } from "@cloudvlan/kit/sign";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { sql } from "drizzle-orm";
import { type Delegator, delegator, silentLog, type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import { applyPolicy, type PolicyDeps } from "../handlers/apply.ts";
import { getPolicy, watchChanges } from "../handlers/read.ts";
import { documents, rules as ruleTable } from "../schema.ts";

const MIGRATIONS = fileURLToPath(new URL("../migrations", import.meta.url));

const allow = (name: string, group: string, more: Record<string, JsonValue> = {}): JsonValue => ({
  name,
  action: "POLICY_ACTION_ALLOW",
  sources: [{ group }],
  destinations: [{ any: true }],
  protocol: "POLICY_PROTOCOL_ANY",
  ...more,
});

describe("applying a policy", () => {
  withStores((under: StoreUnderTest) => {
    let folder: string;
    let deps: PolicyDeps;
    let tenantId: TenantId;
    let cvlanId: CvlanId;
    /** Names registry knows, with the generation of the object that has the name. */
    let known: Map<string, number>;
    let authority: Delegator;
    let delegations: number;
    const caller: Caller = {
      workload: { kind: "none" },
      authority: { subject: "apikey:apikey_1", tenantId: undefined, permissions: new Set() },
      requestId: "test",
      address: "192.0.2.1",
    };

    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), "cvlan-policy-"));
      await under.store.migrate("policy", MIGRATIONS);
      const keys = await fileKeyProvider(join(folder, "secret", "master.key"));
      [tenantId, cvlanId] = [newId("tenant", Date.now()), newId("cvlan", Date.now())];
      known = new Map([
        ["clients", 1],
        ["servers", 1],
      ]);
      authority = delegator(tenantId);
      delegations = 0;
      const transport = createRouterTransport((router) => {
        router.service(AuthService, {
          delegateKey: (request) => {
            assert.equal(request.role, KeyRole.POLICY);
            delegations++;
            return authority.delegate(request.role, request.publicKey);
          },
        });
        router.service(RegistryService, {
          resolveTargets: ({ targets }) => ({
            targets: targets.map(({ target }) => {
              const generation = known.get(String(target.value));
              if (generation === undefined) return {};
              const value = createHash("sha256")
                .update(`${String(target.value)} ${generation}`)
                .digest()
                .subarray(0, 16);
              return { selector: { selector: { case: "selectorId" as const, value: Uint8Array.from(value) } } };
            }),
          }),
        });
      });
      const db = under.store.database("policy");
      deps = {
        clusterId: "cluster_test",
        db,
        clock: systemClock,
        log: silentLog,
        keys,
        changes: changeStreams({ db, service: "policy", heartbeatMs: 1_000 }),
        audit: auditLog("cluster_test"),
        registry: createClient(RegistryService, transport),
        policyKeys: delegatedKeys({
          service: "policy",
          role: KeyRole.POLICY,
          db,
          keys,
          auth: createClient(AuthService, transport),
          clock: systemClock,
          log: silentLog,
        }),
      };
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    const apply = (
      rules: JsonValue[],
      baseVersion?: bigint,
      source?: MessageInitShape<typeof PolicySourceSchema>,
    ): Promise<Policy> =>
      applyPolicy(
        deps,
        create(ApplyPolicyRequestSchema, {
          tenantId,
          cvlanId,
          document: fromJson(PolicyDocumentSchema, { rules }),
          ...(baseVersion === undefined ? {} : { baseVersion }),
          ...(source && { source }),
        }),
        caller,
      );
    const get = () => getPolicy(deps, create(GetPolicyRequestSchema, { tenantId, cvlanId }));

    /** What the stream has in force, every signature verified. */
    async function inForce() {
      const { changes, revision } = await deps.changes.read(tenantId, cvlanId, 0n);
      const records: RuleRecord[] = [];
      const hashes: { ruleId: Uint8Array; hash: Buffer }[] = [];
      let manifest;
      for (const { objectId, change } of changes) {
        if (change.case !== "rule" && change.case !== "manifest") continue;
        const signed = fromBinary(SignedSchema, change.value);
        const [key] = authority.keys;
        assert(key && signed.keyId === key.keyId && verifyRecord(key.publicKey, change.case, signed));
        if (change.case === "manifest") manifest = fromBinary(PolicyManifestSchema, signed.payload);
        else {
          const record = fromBinary(RuleRecordSchema, signed.payload);
          assert.equal(objectId, `rule_${Buffer.from(record.ruleId).toString("hex")}`);
          assert.deepEqual([record.tenantId, record.cvlanId], [tenantId, cvlanId]);
          records.push(record);
          hashes.push({ ruleId: record.ruleId, hash: createHash("sha256").update(signed.payload).digest() });
        }
      }
      if (manifest) {
        hashes.sort((a, b) => Buffer.compare(a.ruleId, b.ruleId));
        const whole = createHash("sha256")
          .update(Buffer.concat(hashes.map(({ hash }) => hash)))
          .digest();
        assert(whole.equals(manifest.rulesSha256), "the manifest is that of the rules");
        assert.equal(manifest.rules, records.length);
      }
      return { revision, manifest, versions: new Map(records.map(({ name, policyVersion }) => [name, policyVersion])) };
    }

    it("starts with version 0 and no rules", async () => {
      const policy = await get();
      assert.equal(policy.version, 0n);
      assert.equal(policy.document?.rules.length, 0);
    });

    it("signs what changed, keeps what did not, and removes what is gone", async () => {
      assert.equal((await apply([allow("a", "clients"), allow("b", "servers")])).version, 1n);
      const first = await inForce();
      assert.deepEqual(
        first.versions,
        new Map([
          ["a", 1n],
          ["b", 1n],
        ]),
      );
      assert.equal(
        (
          await apply([
            allow("b", "servers"),
            allow("a", "clients", { action: "POLICY_ACTION_DENY" }),
            allow("c", "clients"),
          ])
        ).version,
        2n,
      );
      const second = await inForce();
      assert.deepEqual(
        new Map([...second.versions].sort(([a], [b]) => (a < b ? -1 : 1))),
        new Map([
          ["a", 2n],
          ["b", 1n],
          ["c", 2n],
        ]),
      );
      assert.equal(second.manifest?.policyVersion, 2n);
      assert.equal((await apply([allow("c", "clients")])).version, 3n);
      assert.deepEqual((await inForce()).versions, new Map([["c", 2n]]));
      assert.equal((await get()).version, 3n);
      assert.equal(delegations, 1);
    });

    it("the same document again is no new version, unless a name means something else now", async () => {
      await apply([allow("a", "clients")]);
      const { revision } = await inForce();
      assert.equal((await apply([allow("a", "clients")])).version, 1n);
      assert.equal((await inForce()).revision, revision);
      known.set("clients", 2);
      assert.equal((await apply([allow("a", "clients")])).version, 2n);
    });

    it("remembers where the rules were written, and when they move there it is no new version", async () => {
      const rules = [allow("a", "clients"), allow("b", "servers")];
      await apply(rules, undefined, { file: "policies/office.yaml", ruleLines: [2, 9] });
      const { revision } = await inForce();
      assert.deepEqual((await get()).source?.ruleLines, [2, 9]);
      const moved = await apply(rules, undefined, { file: "policies/office.yaml", ruleLines: [4, 11] });
      assert.equal(moved.version, 1n);
      assert.equal((await get()).source?.file, "policies/office.yaml");
      assert.deepEqual((await get()).source?.ruleLines, [4, 11]);
      assert.equal((await inForce()).revision, revision, "nodes hear nothing of it");
      await assert.rejects(
        apply(rules, undefined, { file: "office.yaml", ruleLines: [4] }),
        (error) => error instanceof Refusal && error.detail.field === "source.rule_lines",
      );
      const db = under.store.database("policy");
      await db.tenant(tenantId, (tx) => tx.update(documents).set({ source: new Uint8Array() }));
      assert.equal((await get()).version, 0n, "a source that somebody took out breaks the seal");
      await apply(rules);
      assert.equal((await get()).source, undefined);
    });

    it("seals a document without a source as before there were any", async () => {
      await apply([allow("a", "clients")]);
      const [row] = await under.store.database("policy").tenant(tenantId, (tx) => tx.select().from(documents));
      assert(row);
      const { version, document, createdBy, createdAt, updatedAt, seal } = row;
      const fields = { tenantId, cvlanId, version, document, createdBy, createdAt, updatedAt };
      assert(requireSeal(deps.keys, "policy.document", fields, seal));
    });

    it("refuses a name that does not exist, the whole document with it", async () => {
      await apply([allow("a", "clients")]);
      await assert.rejects(
        apply([allow("a", "clients"), allow("b", "servers", { destinations: [{ any: true }, { group: "ghosts" }] })]),
        (error) =>
          error instanceof Refusal &&
          error.reason === "TARGET_UNKNOWN" &&
          error.detail.field === "document.rules[1].destinations[1].group",
      );
      assert.equal((await get()).version, 1n);
      assert.deepEqual([...(await inForce()).versions.keys()], ["a"]);
    });

    it("refuses a document that was made from another version", async () => {
      await apply([allow("a", "clients")], 0n);
      await assert.rejects(
        apply([], 0n),
        (error) => error instanceof Refusal && error.kind === "conflict" && error.detail.field === "base_version",
      );
      assert.equal((await apply([], 1n)).version, 2n);
    });

    it("of parallel documents from one version exactly one is accepted", async () => {
      const attempts = await Promise.allSettled(
        Array.from({ length: 8 }, (_, n) => apply([allow(`r${n}`, "clients")], 0n)),
      );
      assert.equal(attempts.filter(({ status }) => status === "fulfilled").length, 1);
      const { versions, manifest } = await inForce();
      assert.equal(versions.size, 1);
      assert.equal(manifest?.policyVersion, 1n);
    });

    it("a document that somebody wrote into the table is absent, and versions still grow", async () => {
      await apply([allow("a", "clients")]);
      await apply([allow("a", "servers")]);
      const db = under.store.database("policy");
      await db.tenant(tenantId, (tx) => tx.update(documents).set({ version: 0n, document: new Uint8Array() }));
      assert.equal((await get()).version, 0n, "absent");
      await db.tenant(tenantId, (tx) => tx.update(ruleTable).set({ signed: new Uint8Array([1]) }));
      assert.equal((await apply([allow("a", "clients")])).version, 3n);
      const outcomes = await db.tenant(tenantId, (tx) =>
        tx
          .select({ outcome: sql<string>`outcome` })
          .from(sql`audit_log`)
          .orderBy(sql`sequence`),
      );
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        ["ok", "ok", "DOCUMENT_SEAL_BROKEN", "ok"],
      );
    });

    it("another tenant sees nothing of it", async () => {
      await apply([allow("a", "clients")]);
      const other = newId("tenant", Date.now());
      const policy = await getPolicy(deps, create(GetPolicyRequestSchema, { tenantId: other, cvlanId }));
      assert.equal(policy.version, 0n);
      const rows = await under.store.database("policy").tenant(other, (tx) => tx.select().from(documents));
      assert.equal(rows.length, 0);
    });

    it("tells its followers", async () => {
      const stop = new AbortController();
      const request = create(WatchChangesRequestSchema, { tenantId, cvlanId, since: 0n });
      const seen: string[] = [];
      await apply([allow("a", "clients")]);
      for await (const { changes } of watchChanges(deps, request, stop.signal)) {
        seen.push(...changes.map(({ change }) => change.case ?? ""));
        if (seen.length === 2) await apply([]);
        if (seen.length >= 4) break;
      }
      stop.abort();
      assert.deepEqual(seen, ["rule", "manifest", "removal", "manifest"]);
    });
  });
});
