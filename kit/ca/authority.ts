import { createPrivateKey, webcrypto } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "../pki/x509.ts";

const ECDSA_P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const LIFE_MS = 10 * 365 * 86_400_000;
const BACKDATE_MS = 60_000;

/** Certificates and keys of a new certificate authority, PEM; keys are PKCS #8. */
export interface NewAuthority {
  readonly rootPem: string;
  readonly rootKeyPem: string;
  readonly intermediatePem: string;
  readonly intermediateKeyPem: string;
}

/**
 * Makes a root (path length 1) and the intermediate that issues, ECDSA P-256, valid for ten years.
 * @param clusterId stands in the subjects, so that an operator of two installations can tell them apart.
 * @param nowMs milliseconds since the Unix epoch.
 */
export async function newAuthority(clusterId: string, nowMs: number): Promise<NewAuthority> {
  const validity = { notBefore: new Date(nowMs - BACKDATE_MS), notAfter: new Date(nowMs + LIFE_MS) };
  const rootKeys = await newKeys();
  const rootName = `CN=CloudVLAN root ${clusterId}`;
  const root = await X509CertificateGenerator.createSelfSigned({
    ...validity,
    name: rootName,
    keys: rootKeys,
    signingAlgorithm: ECDSA_P256,
    extensions: await extensionsOf(rootKeys, 1),
  });
  const keys = await newKeys();
  const intermediate = await X509CertificateGenerator.create({
    ...validity,
    subject: `CN=CloudVLAN issuing ${clusterId}`,
    issuer: rootName,
    publicKey: keys.publicKey,
    signingKey: rootKeys.privateKey,
    signingAlgorithm: ECDSA_P256,
    extensions: [...(await extensionsOf(keys, 0)), await AuthorityKeyIdentifierExtension.create(rootKeys.publicKey)],
  });
  return {
    rootPem: pemOf(root),
    rootKeyPem: await privatePemOf(rootKeys),
    intermediatePem: pemOf(intermediate),
    intermediateKeyPem: await privatePemOf(keys),
  };
}

/**
 * Certifies the key of one root by another, so that whoever trusts the issuer finds the subject.
 * @param issuer root certificate and key, PEM.
 */
export async function crossSign(
  subjectPem: string,
  issuer: { readonly rootPem: string; readonly rootKeyPem: string },
  nowMs: number,
): Promise<string> {
  const [subject, issuing] = [new X509Certificate(subjectPem), new X509Certificate(issuer.rootPem)];
  const signingKey = await webcrypto.subtle.importKey("pkcs8", derOf(issuer.rootKeyPem), ECDSA_P256, false, ["sign"]);
  const certificate = await X509CertificateGenerator.create({
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: subject.notAfter < issuing.notAfter ? subject.notAfter : issuing.notAfter,
    subject: subject.subject,
    issuer: issuing.subject,
    publicKey: subject.publicKey,
    signingKey,
    signingAlgorithm: ECDSA_P256,
    extensions: [
      new BasicConstraintsExtension(true, 1, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(subject.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuing.publicKey),
    ],
  });
  return pemOf(certificate);
}

function derOf(pem: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createPrivateKey(pem).export({ type: "pkcs8", format: "der" }));
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]);
}

async function extensionsOf(keys: webcrypto.CryptoKeyPair, pathLength: number) {
  return [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
  ];
}

function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function privatePemOf(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  const body =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PRIVATE KEY-----", ...body, "-----END PRIVATE KEY-----", ""].join("\n");
}
