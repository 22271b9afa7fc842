import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { Pkcs10CertificateRequestGenerator } from "./x509.ts";

const ECDSA_P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const ECDSA_SHA256 = { name: "ECDSA", hash: "SHA-256" } as const;

/** Makes an ECDSA P-256 private key for TLS, PKCS #8, PEM. It stays where it is made. */
export function newTlsKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

/**
 * Makes a certificate request (PKCS #10, RFC 2986, DER) without subject or names: who grants it knows who asks.
 * @param privateKeyPem of `newTlsKey`.
 */
export async function createCsr(privateKeyPem: string): Promise<Uint8Array> {
  const privateKey = createPrivateKey(privateKeyPem);
  const publicKey = createPublicKey(privateKey);
  const request = await Pkcs10CertificateRequestGenerator.create({
    signingAlgorithm: ECDSA_SHA256,
    keys: {
      privateKey: privateKey.toCryptoKey(ECDSA_P256, false, ["sign"]),
      publicKey: publicKey.toCryptoKey(ECDSA_P256, true, ["verify"]),
    },
  });
  return new Uint8Array(request.rawData);
}
