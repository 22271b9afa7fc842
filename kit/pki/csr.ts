import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { TAG, writeElement } from "./der.ts";

/** `ecdsa-with-SHA256` (RFC 5758 section 3.2). */
const ECDSA_WITH_SHA256 = writeElement(
  TAG.sequence,
  writeElement(TAG.objectId, Buffer.from("2a8648ce3d040302", "hex")),
);
const VERSION = writeElement(TAG.integer, Buffer.of(0));
const NO_SUBJECT = writeElement(TAG.sequence);
/** `attributes [0]`. */
const NO_ATTRIBUTES = writeElement(0xa0);
/** Bits of the last byte of a bit string that do not count. */
const UNUSED_BITS = Buffer.of(0);

/** Makes an ECDSA P-256 private key for TLS, PKCS #8, PEM. It stays where it is made. */
export function newTlsKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

/**
 * Makes a certificate request (PKCS #10, RFC 2986, DER) without subject or names: who grants it knows who asks.
 * @param privateKeyPem of `newTlsKey`.
 */
export function createCsr(privateKeyPem: string): Uint8Array {
  const privateKey = createPrivateKey(privateKeyPem);
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const info = writeElement(TAG.sequence, VERSION, NO_SUBJECT, publicKey, NO_ATTRIBUTES);
  const signature = writeElement(TAG.bitString, UNUSED_BITS, sign("sha256", info, privateKey));
  return new Uint8Array(writeElement(TAG.sequence, info, ECDSA_WITH_SHA256, signature));
}
