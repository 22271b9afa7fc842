// The library asks for this polyfill to be loaded first.
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from "@peculiar/x509";

type Generated = Parameters<typeof webcrypto.subtle.generateKey>[0];

async function keysOf(algorithm: object): Promise<webcrypto.CryptoKeyPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm as Generated, true, ["sign", "verify"]);
  if (!("privateKey" in keys)) throw new Error("the algorithm has no key pairs");
  return keys;
}

const P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A certificate request (PKCS #10, DER) with things in it that ours never have. */
export interface OddRequest {
  /** Of the key and of the signature; ECDSA P-256 with SHA-256 unless said otherwise. */
  readonly algorithm?: object;
  /** URIs that it asks for. */
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  /** Distinguished name. */
  readonly subject?: string;
}

export async function oddRequest({
  algorithm = P256,
  uris = [],
  dnsNames = [],
  subject,
}: OddRequest): Promise<Uint8Array> {
  const names = [
    ...uris.map((value) => ({ type: "url", value }) as const),
    ...dnsNames.map((value) => ({ type: "dns", value }) as const),
  ];
  const request = await Pkcs10CertificateRequestGenerator.create({
    ...(subject !== undefined && { name: subject }),
    keys: await keysOf(algorithm),
    signingAlgorithm: algorithm as typeof P256,
    ...(names.length > 0 && { extensions: [new SubjectAlternativeNameExtension(names)] }),
  });
  return new Uint8Array(request.rawData);
}

export const RSA_1024 = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 1024,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: "SHA-256",
} as const;
export const RSA_4096 = { ...RSA_1024, modulusLength: 4096 } as const;
export const P384 = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" } as const;
export const P256_SHA1 = { ...P256, hash: "SHA-1" } as const;
export const ED25519 = { name: "Ed25519" } as const;
