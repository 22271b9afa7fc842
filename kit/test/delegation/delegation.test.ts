import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { delegatedKeys, type DelegatedKeys } from "../../delegation/index.ts";
import type { Database } from "../../db/index.ts";
import { Refusal } from "../../errors/index.ts";
import type { TenantId } from "../../ids/index.ts";
import { fileKeyProvider, type KeyProvider } from "../../keys/index.ts";
import { DELEGATION_LIFE_MS } from "../../sign/index.ts";
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
      tenantId = newTenant();
      authority = delegator(tenantId, clock);
    });

    function worker(answer = authority.delegate): DelegatedKeys {
      const transport = createRouterTransport((router) => {
        router.service(AuthService, {
          delegateKey: ({ role, publicKey }) => {
            calls++;
            if (down) throw new Refusal("unavailable", "DOWN", "auth does not answer").toConnectError();
            return answer(role, publicKey);
          },
        });
      });
      const auth = createClient(AuthService, transport);
      return delegatedKeys({ service: "policy", role: KeyRole.POLICY, db, keys, auth, clock, log: silentLog });
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
