import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { RootTransitionSchema, type Signed } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { newId, type TenantId } from "../../ids/index.ts";
import {
  descendsFromPinned,
  MAX_ROOT_TRANSITIONS,
  newSigningSeed,
  rootKeysOf,
  type SigningKey,
  signingKeyFromSeed,
  signRecord,
  signRootTransition,
} from "../../sign/index.ts";

const NOW = Date.now();

function newRoot(): SigningKey {
  return signingKeyFromSeed("root", newSigningSeed());
}

/** Root keys and what each said of the next one. */
function chainOf(tenantId: TenantId, length: number): { roots: SigningKey[]; transitions: Signed[] } {
  const roots = Array.from({ length: length + 1 }, newRoot);
  const transitions = roots
    .slice(1)
    .map((next, index) => signRootTransition(roots[index] ?? next, tenantId, BigInt(index + 1), next.publicKey, NOW));
  return { roots, transitions };
}

describe("a chain of root keys", () => {
  const tenantId = newId("tenant", NOW);
  const { roots, transitions } = chainOf(tenantId, 3);
  const [first, second, third, last] = roots.map(({ publicKey }) => publicKey);
  const is = (key: Uint8Array | undefined) => (other: Uint8Array) =>
    key !== undefined && Buffer.compare(key, other) === 0;
  const [a, b, c] = transitions;
  assert.ok(a && b && c && first && second && third && last);

  it("leads from any of its keys to the last one", () => {
    assert.deepEqual(rootKeysOf(tenantId, transitions), [first, second, third, last]);
    assert.deepEqual(rootKeysOf(tenantId, []), []);
    for (const key of [first, second, third, last]) {
      assert.ok(descendsFromPinned(tenantId, is(key), transitions, last));
    }
    assert.ok(descendsFromPinned(tenantId, is(last), [], last), "nothing was replaced");
  });

  it("leads nowhere else", () => {
    const stranger = newRoot().publicKey;
    assert.equal(descendsFromPinned(tenantId, is(stranger), transitions, last), false, "another root was pinned");
    assert.equal(descendsFromPinned(tenantId, is(first), transitions, stranger), false, "nobody signed that key");
    assert.equal(descendsFromPinned(tenantId, is(first), transitions, third), false, "it went");
    assert.equal(descendsFromPinned(tenantId, is(first), [], last), false, "the way is not shown");
  });

  it("is refused with a gap, a repetition, another order, or of another tenant", () => {
    for (const broken of [
      [a, c],
      [a, a, b, c],
      [c, b, a],
    ]) {
      assert.throws(() => rootKeysOf(tenantId, broken), /gap/);
    }
    assert.throws(() => rootKeysOf(newId("tenant", NOW), transitions), /another tenant/);
    const skipped = signRootTransition(roots[1] ?? newRoot(), tenantId, 3n, newRoot().publicKey, NOW);
    assert.throws(() => rootKeysOf(tenantId, [a, skipped]), /gap/);
  });

  it("is refused when a link was not signed by the key that goes", () => {
    const payload = create(RootTransitionSchema, {
      tenantId,
      sequence: 1n,
      rootPublicKey: newRoot().publicKey,
      formerRootPublicKey: first,
    });
    const bytes = toBinary(RootTransitionSchema, payload);
    const [good] = roots;
    assert.ok(good);
    assert.equal(rootKeysOf(tenantId, [signRecord(good, "root", bytes)]).length, 2);
    assert.throws(() => rootKeysOf(tenantId, [signRecord(newRoot(), "root", bytes)]), /did not sign/);
    assert.throws(() => rootKeysOf(tenantId, [signRecord(good, "keyset", bytes)]), /did not sign/);
    assert.throws(() => rootKeysOf(tenantId, [signRecord({ ...good, keyId: "enrol" }, "root", bytes)]), /did not sign/);
    const short = toBinary(RootTransitionSchema, { ...payload, rootPublicKey: new Uint8Array(31) });
    assert.throws(() => rootKeysOf(tenantId, [signRecord(good, "root", short)]), /no Ed25519 key/);
  });

  it("has an end", () => {
    const long = chainOf(tenantId, MAX_ROOT_TRANSITIONS + 1).transitions;
    assert.equal(rootKeysOf(tenantId, long.slice(0, MAX_ROOT_TRANSITIONS)).length, MAX_ROOT_TRANSITIONS + 1);
    assert.throws(() => rootKeysOf(tenantId, long), /more than 64/);
  });
});
