import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { AuthService, type KeyRotationSchema, KeyRotationStage } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { sql } from "drizzle-orm";
import { delegatedKeys, type DelegatedKeys, type Resigned } from "../../delegation/index.ts";
import type { Database } from "../../db/index.ts";
import { Refusal } from "../../errors/index.ts";
import type { TenantId } from "../../ids/index.ts";
import { fileKeyProvider, type KeyProvider } from "../../keys/index.ts";
import { DELEGATION_LIFE_MS, isAccepted, type RoleKey, signRecord } from "../../sign/index.ts";
import { type Delegator, delegator, silentLog, withStores } from "../../testing/index.ts";
import { newTenant, noMigrations } from "../db/fixture.ts";

describe("delegated keys", () => {
  withStores((under) => {
    let folder: string;
    let db: Database;
    let keys: KeyProvider;
    let tenantId: TenantId;
    let authority: Delegator;
    let nowMs: number;
    let calls: number;
    let down: boolean;
    const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, bootMs: () => nowMs };

    before(async () => {
      folder = mkdtempSync(join(tmpdir(), "cvlan-delegation-"));
      keys = await fileKeyProvider(join(folder, "secret", "master"));
      await under.store.migrate("policy", noMigrations);
      db = under.store.database("policy");
    });
    after(() => rmSync(folder, { recursive: true, force: true }));
    beforeEach(() => {
      [nowMs, calls, down] = [Date.now(), 0, false];
      [rotation, reports] = [undefined, []];
      tenantId = newTenant();
      authority = delegator(tenantId, clock);
    });

    /** What auth says of keys that are to be replaced. */
    let rotation: MessageInitShape<typeof KeyRotationSchema> | undefined;
    let reports: KeyRotationStage[];

    function worker(
      answer = authority.delegate,
      resign: (key: RoleKey) => Resigned = () => ({ signed: 0, left: 0 }),
    ): DelegatedKeys {
      const transport = createRouterTransport((router) => {
        router.service(AuthService, {
          delegateKey: ({ role, publicKey }) => {
            calls++;
            if (down) throw new Refusal("unavailable", "DOWN", "auth does not answer").toConnectError();
            return answer(role, publicKey);
          },
          listUnfinishedKeyRotations: () => ({ rotations: rotation ? [rotation] : [] }),
          reportKeyRotation: ({ stage, left }) => {
            reports.push(stage);
            rotation = stage === KeyRotationStage.MAPPING ? undefined : rotation && { ...rotation, stage, left };
            return {};
          },
        });
      });
      const auth = createClient(AuthService, transport);
      const by = { service: "policy", role: KeyRole.POLICY, db, keys, auth, clock, log: silentLog } as const;
      return delegatedKeys({ ...by, resign: (_tenantId, key) => Promise.resolve(resign(key)) });
    }

    /** One round of the job, which ends with its signal. */
    async function look(held: DelegatedKeys): Promise<void> {
      const before = calls;
      const stop = new AbortController();
      const running = held.run(stop.signal);
      while (calls === before) await new Promise((resolve) => setImmediate(resolve));
      stop.abort();
      await running;
    }

    it("are made once, the same for every worker and every call", async () => {
      const [one, two] = [worker(), worker()];
      const [a, b, c] = await Promise.all([one.get(tenantId), one.get(tenantId), two.get(tenantId)]);
      assert.deepEqual([a.publicKey, a.keyId], [b.publicKey, b.keyId]);
      assert.deepEqual([a.publicKey, a.keyId], [c.publicKey, c.keyId]);
      assert.deepEqual([authority.keys.length, calls], [1, 2]);
    });

    it("are extended before they run out, also when nobody signs", async () => {
      const held = worker();
      held.keep(tenantId);
      await look(held);
      nowMs += (DELEGATION_LIFE_MS * 2) / 3 + 1;
      await look(held);
      const [key] = authority.keys;
      assert.equal(Number(key?.notAfter?.seconds), Math.floor((nowMs + DELEGATION_LIFE_MS) / 1000));
      assert.equal((await held.get(tenantId)).keyId, key?.keyId);
      assert.equal(calls, 2);
    });

    it("stay in use while auth does not answer, until they run out", async () => {
      const held = worker();
      const key = await held.get(tenantId);
      down = true;
      nowMs += DELEGATION_LIFE_MS - 1;
      await look(held);
      assert.equal(await held.get(tenantId), key);
      nowMs += 2;
      await assert.rejects(held.get(tenantId), /auth does not answer/);
      down = false;
      assert.equal((await held.get(tenantId)).keyId, key.keyId);
    });

    it("are replaced once by all workers, and no transaction is signed with the former one afterwards", async () => {
      let left = 3;
      const signers = new Set<string>();
      const resign = (key: RoleKey): Resigned => {
        signers.add(key.keyId);
        left = Math.max(0, left - 1);
        return { signed: 1, left };
      };
      const [one, two] = [worker(authority.delegate, resign), worker(authority.delegate, resign)];
      const former = await one.get(tenantId);
      assert.equal((await two.get(tenantId)).keyId, former.keyId);
      rotation = { tenantId, role: KeyRole.POLICY, stage: KeyRotationStage.REQUESTED, formerKeyIds: [former.keyId] };
      const stop = new AbortController();
      const running = [one.run(stop.signal), two.run(stop.signal)];
      while (rotation) await new Promise((resolve) => setImmediate(resolve));
      stop.abort();
      await Promise.all(running);

      assert.equal(authority.keys.length, 2, "one new key, whoever made it");
      assert.ok(reports.includes(KeyRotationStage.SIGNING), "it says how far it is");
      const later = worker();
      for (const held of [one, two, later]) {
        const { key, stored } = await held.signing(tenantId, async (tx, signer) => {
          const { rows } = (await tx.execute(sql`select next_wrapped_seed as next from signing_key`)) as unknown as {
            rows: { next: unknown }[];
          };
          return { key: signer, stored: rows };
        });
        assert.deepEqual([...signers], [key.keyId]);
        assert.notEqual(key.keyId, former.keyId);
        assert.deepEqual(stored, [{ next: null }], "the former seed is gone");
        const record = signRecord(former, "rule", new Uint8Array(3));
        assert.ok(isAccepted(key, "rule", record), "what the former one signed counts while the keyset has it");
        assert.equal(isAccepted({ ...key, accepted: new Map() }, "rule", record), false);
      }
    });

    it("are refused when auth answers with a keyset of another root, tenant or role", async () => {
      const other = delegator(newTenant(), clock);
      const wrong: (typeof authority.delegate)[] = [
        (role, publicKey) => ({ ...authority.delegate(role, publicKey), rootPublicKey: other.root.publicKey }),
        (role, publicKey) => other.delegate(role, publicKey),
        (_role, publicKey) => delegator(tenantId, clock).delegate(KeyRole.MAP, publicKey),
        (role) => authority.delegate(role, new Uint8Array(32)),
      ];
      for (const answer of wrong) await assert.rejects(worker(answer).get(tenantId), /keyset/);
    });
  });
});
