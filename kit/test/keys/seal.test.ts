import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileKeyProvider, type KeyProvider, requireSeal, type SealFields, sealOf } from "@cloudvlan/kit/keys";
import fc from "fast-check";
import { canonicalForm } from "../../keys/seal.ts";

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(null, "", "a", "ab", 0, 1, 0n, 1n, true, false, new Date(0), new Date(1), new Uint8Array([97])),
    fc.string({ unit: "grapheme", maxLength: 4 }),
    fc.uint8Array({ maxLength: 4 }),
    fc.array(tie("any"), { maxLength: 3 }),
    fc.dictionary(fc.string({ unit: "grapheme", maxLength: 2 }), tie("any"), { maxKeys: 3, noNullPrototype: true }),
  ),
})).any;
const record = fc.dictionary(fc.string({ unit: "grapheme", maxLength: 3 }), value, {
  maxKeys: 4,
  noNullPrototype: true,
}) as fc.Arbitrary<SealFields>;

describe("seal", () => {
  let dir: string;
  let keys: KeyProvider;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "seal-"));
    keys = await fileKeyProvider(join(dir, "master.key"));
  });
  after(() => rm(dir, { recursive: true }));

  it("gives different records different forms, and equal ones the same in any order of keys", () => {
    fc.assert(
      fc.property(record, record, (a, b) => {
        const same = Buffer.from(canonicalForm(a)).equals(canonicalForm(b));
        assert.equal(same, isDeepStrictEqual(a, b));
        const reversed = Object.fromEntries(Object.entries(a).toReversed());
        assert.deepEqual(canonicalForm(reversed), canonicalForm(a));
      }),
      { numRuns: 3000 },
    );
  });

  it("keeps apart what concatenation would confuse", () => {
    const forms = [
      { a: "bc" },
      { ab: "c" },
      { a: ["b", "c"] },
      { a: ["bc"] },
      { a: "b", c: "" },
      { a: { b: "c" } },
      { a: [["b"], "c"] },
      { a: 1 },
      { a: 1n },
      { a: "1" },
      { a: true },
      { a: null },
      {},
    ];
    const texts = forms.map((form) => Buffer.from(canonicalForm(form as unknown as SealFields)).toString("hex"));
    assert.equal(new Set(texts).size, forms.length);
  });

  it("holds for the record and table it was made for, and for no other", () => {
    const fields = { id: "apikey_1", tenant: null, permissions: [1, 2], expires: new Date(5) };
    const seal = sealOf(keys, "auth.api_key", fields);
    assert.equal(seal.length, 32);
    assert.ok(requireSeal(keys, "auth.api_key", fields, seal));
    assert.ok(!requireSeal(keys, "auth.tenant", fields, seal));
    assert.ok(!requireSeal(keys, "auth.api_key", { ...fields, permissions: [1, 2, 3] }, seal));
    assert.ok(!requireSeal(keys, "auth.api_key", fields, seal.subarray(1)));
    assert.ok(!requireSeal(keys, "auth.api_key", fields, new Uint8Array()));
  });

  it("refuses what has no canonical form", () => {
    assert.throws(() => sealOf(keys, "t", { a: Number.NaN }));
    assert.throws(() => sealOf(keys, "t", { a: "\ud800" }));
  });
});
