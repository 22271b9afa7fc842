import assert from "node:assert/strict";
import fc from "fast-check";
import { idBytes, isId, newId } from "../../ids/index.ts";
import { newSigningSeed, signingKeyFromSeed, signRecord, verifyRecord } from "../../sign/index.ts";

describe("ids", () => {
  it("are UUIDv7 of their instant, sort by it and keep their kind apart", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 47 }), (nowMs) => {
        const id = newId("node", nowMs);
        assert.ok(isId("node", id) && !isId("tenant", id));
        assert.equal(Number(BigInt(`0x${Buffer.from(idBytes(id)).subarray(0, 6).toString("hex")}`)), nowMs);
        assert.match(id, /^node_.{14}7.{4}[89ab]/);
        assert.ok(newId("node", nowMs + 1) > id);
      }),
    );
    assert.notEqual(newId("node", 1), newId("node", 1));
  });

  it("are not other texts", () => {
    for (const text of ["node_", "node_1", `node_${"0".repeat(36)}`, "NODE_00000000-0000-7000-8000-000000000000"]) {
      assert.equal(isId("node", text), false);
    }
  });
});

describe("signatures", () => {
  it("hold for their key, domain and bytes, and for nothing else", () => {
    const key = signingKeyFromSeed("k", newSigningSeed());
    const payload = Uint8Array.of(1, 2, 3);
    const record = signRecord(key, "node", payload);
    assert.ok(verifyRecord(key.publicKey, "node", record));
    assert.equal(verifyRecord(key.publicKey, "rule", record), false);
    assert.equal(verifyRecord(key.publicKey, "node", { ...record, payload: Uint8Array.of(1, 2, 4) }), false);
    assert.equal(verifyRecord(key.publicKey, "node", { ...record, signature: record.signature.subarray(1) }), false);
    assert.equal(verifyRecord(key.publicKey.subarray(1), "node", record), false);
    assert.equal(verifyRecord(signingKeyFromSeed("k", newSigningSeed()).publicKey, "node", record), false);
  });
});
