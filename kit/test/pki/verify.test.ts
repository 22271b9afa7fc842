import assert from "node:assert/strict";
import { verifyChain } from "@cloudvlan/kit/pki";
import { Extension, SubjectAlternativeNameExtension } from "../../pki/x509.ts";
import { certificate, type Party, type Shape } from "./certificates.ts";

const uuid = "01890000-0000-7000-8000-000000000000";
const trustDomain = `cluster_${uuid}`;
const uri = `spiffe://${trustDomain}/tenant/tenant_${uuid}/node/node_${uuid}`;
const now = Date.UTC(2026, 0, 2);
const day = 86_400_000;
const years = { notBefore: new Date(now - 365 * day), notAfter: new Date(now + 365 * day) };
const fresh = { notBefore: new Date(now - 60_000), notAfter: new Date(now + day) };

describe("chain verification", () => {
  let root: Party;
  let intermediate: Party;
  before(async () => {
    root = await certificate({ name: "root", ...years, authority: { pathLength: 1 } });
    intermediate = await certificate({ name: "issuing", ...years, authority: { pathLength: 0 } }, root);
  });

  const judge = (...chain: Party[]) =>
    verifyChain(
      chain.map((party) => party.der),
      [root.der],
      now,
      { trustDomain },
    );
  const leafOf = (shape: Partial<Shape> = {}, issuer = intermediate) =>
    certificate({ name: "leaf", ...fresh, uris: [uri], ...shape }, issuer);
  const refused = (verdict: ReturnType<typeof judge>, reason: RegExp) => {
    assert.ok(!verdict.ok, "the chain was accepted");
    assert.match(verdict.reason, reason);
  };

  it("accepts what our CA issues, with and without the root at the end", async () => {
    const leaf = await leafOf();
    const verdict = judge(leaf, intermediate);
    assert.ok(verdict.ok);
    assert.equal(verdict.uri, uri);
    assert.equal(verdict.spiffe.kind, "node");
    assert.equal(verdict.expired, false);
    assert.deepEqual(verdict.notAfter, fresh.notAfter);
    assert.ok(judge(leaf, intermediate, root).ok);
    assert.ok(judge(await leafOf({}, root)).ok);
  });

  it("accepts any of several roots", async () => {
    const other = await certificate({ name: "other", ...years, authority: { pathLength: 1 } });
    const leaf = await leafOf();
    assert.ok(verifyChain([leaf.der, intermediate.der], [other.der, root.der], now, { trustDomain }).ok);
    assert.ok(!verifyChain([leaf.der, intermediate.der], [other.der], now, { trustDomain }).ok);
    assert.ok(!verifyChain([leaf.der, intermediate.der], [], now, { trustDomain }).ok);
  });

  it("tells an expired leaf from a bad one", async () => {
    const verdict = judge(await leafOf({ notAfter: new Date(now - 1000) }), intermediate);
    assert.ok(verdict.ok);
    assert.equal(verdict.expired, true);
    refused(judge(await leafOf({ notBefore: new Date(now + 301_000) }), intermediate), /not valid yet/);
    assert.ok(judge(await leafOf({ notBefore: new Date(now + 299_000) }), intermediate).ok);
  });

  it("refuses a foreign issuer of the same name and a signature that does not hold", async () => {
    const fake = await certificate({ name: "issuing", ...years, authority: { pathLength: 0 } });
    refused(judge(await leafOf({}, fake), intermediate), /trusted root/);
    refused(judge(await leafOf({}, fake), fake), /trusted root/);
    const leaf = await leafOf();
    const broken = {
      ...leaf,
      der: Uint8Array.from(leaf.der, (byte, at) => (at === leaf.der.length - 1 ? byte ^ 1 : byte)),
    };
    refused(judge(broken, intermediate), /trusted root/);
    refused(judge(leaf), /trusted root/);
  });

  it("refuses issuers that are no authority, over their path length, or outside their validity", async () => {
    const plain = await leafOf();
    refused(judge(await leafOf({}, plain), plain, intermediate), /not a certificate authority/);
    const unsigning = await certificate({ name: "u", ...years, authority: { certSign: false } }, root);
    refused(judge(await leafOf({}, unsigning), unsigning), /not a certificate authority/);
    const below = await certificate({ name: "below", ...years, authority: { pathLength: 0 } }, intermediate);
    refused(judge(await leafOf({}, below), below, intermediate), /longer than an issuer allows/);
    const old = await certificate({ name: "old", ...years, notAfter: new Date(now - 1), authority: {} }, root);
    refused(judge(await leafOf({}, old), old), /outside its validity/);
  });

  it("refuses a leaf that is an authority, of another domain, or without exactly one known URI", async () => {
    refused(judge(await leafOf({ authority: {} }, root)), /leaf is a certificate authority/);
    refused(judge(await leafOf({ uris: [] }), intermediate), /exactly one URI/);
    refused(judge(await leafOf({ uris: [uri, `${uri}0`] }), intermediate), /exactly one URI/);
    refused(judge(await leafOf({ uris: [uri, uri] }), intermediate), /exactly one URI/);
    refused(judge(await leafOf({ uris: ["https://example.org"] }), intermediate), /not a SPIFFE id/);
    const foreign = uri.replace(trustDomain, `cluster_${uuid.replace("0189", "0190")}`);
    refused(judge(await leafOf({ uris: [foreign] }), intermediate), /another trust domain/);
  });

  it("neither accepts nor chokes on a chain with any byte changed", async () => {
    const leaf = await leafOf();
    for (const victim of [leaf, intermediate]) {
      for (let at = 0; at < victim.der.length; at++) {
        const der = Uint8Array.from(victim.der, (byte, index) => (index === at ? byte ^ (1 << (at % 8)) : byte));
        const chain = victim === leaf ? [{ ...leaf, der }, intermediate] : [leaf, { ...intermediate, der }];
        assert.equal(judge(...chain).ok, false, `byte ${at}`);
      }
    }
  });

  it("refuses an unknown critical extension, garbage, nothing, and chains without end", async () => {
    const critical = new Extension("1.2.3.4", true, Uint8Array.of(5, 0));
    refused(judge(await leafOf({ extensions: [critical] }), intermediate), /critical extension/);
    const twice = new SubjectAlternativeNameExtension([{ type: "url", value: uri }]);
    refused(judge(await leafOf({ extensions: [twice] }), intermediate), /trusted root/);
    const ignored = new Extension("1.2.3.4", false, Uint8Array.of(5, 0));
    assert.ok(judge(await leafOf({ extensions: [ignored] }), intermediate).ok);
    const leaf = await leafOf();
    refused(judge({ ...leaf, der: leaf.der.subarray(0, 100) }, intermediate), /cannot be parsed/);
    refused(judge({ ...leaf, der: new Uint8Array(20_000) }), /too long/);
    refused(judge(), /no certificate/);
    refused(judge(leaf, intermediate, intermediate, intermediate, root), /longer than/);
  });
});
