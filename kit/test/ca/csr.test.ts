import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { Refusal } from "@cloudvlan/kit/errors";
import { checkCsr } from "@cloudvlan/kit/ca";
import { createCsr, newTlsKey } from "@cloudvlan/kit/pki";
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from "../../pki/x509.ts";

const identity = "spiffe://cluster_01890000-0000-7000-8000-000000000000/platform/service/auth";

async function request(algorithm: object, options: object = {}): Promise<Uint8Array> {
  const keys = (await webcrypto.subtle.generateKey(algorithm as webcrypto.EcKeyGenParams, true, [
    "sign",
    "verify",
  ])) as webcrypto.CryptoKeyPair;
  const signingAlgorithm = { hash: "SHA-256", ...algorithm, name: (algorithm as { name: string }).name };
  const made = await Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm, ...options });
  return new Uint8Array(made.rawData);
}

const p256 = { name: "ECDSA", namedCurve: "P-256" };
const san = (value: string) => ({ extensions: [new SubjectAlternativeNameExtension([{ type: "url", value }])] });

function refused(promise: Promise<unknown>, reason: string): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert.ok(error instanceof Refusal);
    assert.equal(error.kind, "invalid");
    assert.equal(error.reason, reason);
    assert.equal(error.detail.field, "csr");
    assert.ok(error.detail.remedy);
    return true;
  });
}

describe("certificate requests", () => {
  it("of our own making pass, and the same key has the same fingerprint", async () => {
    const key = newTlsKey();
    const first = await checkCsr(await createCsr(key));
    const second = await checkCsr(await createCsr(key));
    assert.deepEqual(first.keySha256, second.keySha256);
    assert.notDeepEqual(first.keySha256, (await checkCsr(await createCsr(newTlsKey()))).keySha256);
  });

  it("may name the identity they are for and nothing else", async () => {
    const own = await request(p256, san(identity));
    await checkCsr(own, identity);
    await refused(checkCsr(own), "CSR_NAME");
    await refused(checkCsr(await request(p256, san(`${identity}x`)), identity), "CSR_NAME");
    const dns = { extensions: [new SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }])] };
    await refused(checkCsr(await request(p256, dns), identity), "CSR_NAME");
    await refused(checkCsr(await request(p256, { name: "CN=registry" })), "CSR_SUBJECT");
  });

  it("are refused with a weak key, a wrong curve or algorithm", async () => {
    const rsa = {
      name: "RSASSA-PKCS1-v1_5",
      hash: "SHA-256",
      publicExponent: Uint8Array.of(1, 0, 1),
      modulusLength: 1024,
    };
    await refused(checkCsr(await request(rsa)), "CSR_KEY");
    await refused(checkCsr(await request({ name: "ECDSA", namedCurve: "P-384" })), "CSR_KEY");
    await refused(checkCsr(await request({ name: "Ed25519" })), "CSR_KEY");
    await refused(checkCsr(await request({ ...p256, hash: "SHA-1" })), "CSR_ALGORITHM");
  });

  it("are refused when the signature is broken, and when they are no request", async () => {
    const good = await createCsr(newTlsKey());
    const broken = Uint8Array.from(good, (byte, at) => (at === good.length - 1 ? byte ^ 1 : byte));
    await refused(checkCsr(broken), "CSR_SIGNATURE");
    await refused(checkCsr(good.subarray(0, 80)), "CSR_MALFORMED");
    await refused(checkCsr(Buffer.from("not a request at all, but long enough")), "CSR_MALFORMED");
    await refused(checkCsr(new Uint8Array(5000)), "CSR_SIZE");
  });

  it("cut anywhere never cause anything but a refusal", async () => {
    const good = await createCsr(newTlsKey());
    for (let length = 0; length < good.length; length += 7) {
      await assert.rejects(checkCsr(good.subarray(0, length)), Refusal);
    }
    for (let at = 0; at < good.length; at += 3) {
      const changed = Uint8Array.from(good, (byte, index) => (index === at ? byte ^ 0x55 : byte));
      await assert.rejects(checkCsr(changed), Refusal);
    }
  });
});
