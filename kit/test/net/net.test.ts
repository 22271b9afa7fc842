import assert from "node:assert/strict";
import fc from "fast-check";
import {
  addressAt,
  addressOf,
  contains,
  formatAddress,
  formatPrefix,
  numberOf,
  overlaps,
  parseAddress,
  parsePrefix,
  type Prefix,
  prefixOf,
  sizeOf,
  specialRange,
  specialUse,
  unmapped,
} from "../../net/index.ts";

const address = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
);
const prefix = address.chain((bytes) =>
  fc.integer({ min: 0, max: bytes.length * 8 }).map((length) => prefixOf(bytes, length)),
);
/** A prefix and one near it, so that overlaps are not rare. */
const pair = fc.tuple(prefix, fc.nat(128), fc.bigInt(0n, 3n)).map(([a, length, step]): [Prefix, Prefix] => {
  const bits = a.address.length * 8;
  const shifted = (numberOf(a.address) + (step << BigInt(bits - a.length))) % (1n << BigInt(bits));
  return [a, prefixOf(addressOf(shifted, a.address.length), length % (bits + 1))];
});

/** The bits of an address, as the definition of a prefix has them. */
const bitsOf = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");

describe("IP arithmetic", () => {
  it("reads back what it writes", () => {
    fc.assert(fc.property(address, (a) => assert.deepEqual(parseAddress(formatAddress(a)), a)));
    fc.assert(fc.property(prefix, (p) => assert.deepEqual(parsePrefix(formatPrefix(p)), p)));
  });

  it("contains exactly what shares the leading bits", () => {
    fc.assert(
      fc.property(pair, ([p, { address: a }]) => {
        const expected = bitsOf(a).startsWith(bitsOf(p.address).slice(0, p.length)) && a.length === p.address.length;
        assert.equal(contains(p, a), expected);
      }),
    );
  });

  it("overlaps when, and only when, one contains the first address of the other", () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        assert.equal(overlaps(a, b), contains(a, b.address) || contains(b, a.address));
        assert.equal(overlaps(a, b), overlaps(b, a));
      }),
    );
  });

  it("counts addresses, and every counted one is inside and no other is", () => {
    fc.assert(
      fc.property(prefix, fc.bigInt(0n, 1n << 128n), (p, n) => {
        if (n < sizeOf(p)) assert.ok(contains(p, addressAt(p, n)));
        else assert.throws(() => addressAt(p, n), RangeError);
      }),
    );
    const last = addressAt({ address: Uint8Array.of(10, 0, 0, 0), length: 8 }, 0xffffffn);
    assert.equal(formatAddress(last), "10.255.255.255");
  });

  it("refuses what is not plainly an address or a prefix", () => {
    for (const text of [
      "",
      "1.2.3",
      "01.2.3.4",
      "0x7f.1",
      "1.2.3.4.5",
      "256.1.1.1",
      "fe80::1%eth0",
      "::1::",
      "1",
      " 1.2.3.4",
    ]) {
      assert.equal(parseAddress(text), undefined, text);
    }
    for (const text of [
      "10.0.0.1/8",
      "10.0.0.0",
      "10.0.0.0/33",
      "10.0.0.0/08",
      "10.0.0.0/-1",
      "::1/64",
      "fd00::/129",
      "/8",
    ]) {
      assert.equal(parsePrefix(text), undefined, text);
    }
    assert.equal(formatPrefix(parsePrefix("fd00:0:0::/48") as Prefix), "fd00::/48");
  });

  it("writes addresses in the canonical form", () => {
    for (const [text, canonical] of [
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
      ["fd12:3456:789a:1::", "fd12:3456:789a:1::"],
      ["0:0:0:0:0:0:0:0", "::"],
    ] as const) {
      assert.equal(formatAddress(parseAddress(text) ?? new Uint8Array()), canonical);
    }
    assert.throws(() => formatAddress(new Uint8Array(5)), RangeError);
  });

  it("takes IPv4 out of its IPv6 form, and leaves every other address alone", () => {
    const of = (text: string) => formatAddress(unmapped(parseAddress(text) ?? new Uint8Array()));
    assert.equal(of("::ffff:192.0.2.1"), "192.0.2.1");
    for (const text of ["192.0.2.1", "64:ff9b::c000:221", "::fffe:c000:201"]) assert.equal(of(text), text);
  });

  it("knows what is nobody's address, and which prefix holds some of it", () => {
    const use = (text: string) => specialUse(parseAddress(text) ?? new Uint8Array());
    for (const [text, expected] of [
      ["0.1.2.3", "unspecified"],
      ["127.0.0.1", "loopback"],
      ["169.254.1.1", "link-local"],
      ["239.1.1.1", "multicast"],
      ["255.255.255.255", "broadcast"],
      ["255.255.255.254", "reserved"],
      ["::", "unspecified"],
      ["::1", "loopback"],
      ["fe80::1", "link-local"],
      ["ff02::1", "multicast"],
      ["::2", undefined],
      ["100.64.0.1", undefined],
      ["fd00::1", undefined],
    ] as const) {
      assert.equal(use(text), expected, text);
    }
    const held = (text: string) => specialRange(parsePrefix(text) as Prefix)?.use;
    assert.deepEqual(["126.0.0.0/7", "169.254.16.0/24", "10.0.0.0/8", "ff00::/9"].map(held), [
      "loopback",
      "link-local",
      undefined,
      "multicast",
    ]);
  });

  it("keeps the families apart", () => {
    const all4 = parsePrefix("0.0.0.0/0") as Prefix;
    const all6 = parsePrefix("::/0") as Prefix;
    assert.equal(overlaps(all4, all6), false);
    assert.equal(contains(all6, Uint8Array.of(1, 2, 3, 4)), false);
  });
});
