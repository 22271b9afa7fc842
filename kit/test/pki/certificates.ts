import { webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "../../pki/x509.ts";

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export interface Party {
  readonly name: string;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly der: Uint8Array;
}

export interface Shape {
  readonly name: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** URI names. */
  readonly uris?: readonly string[];
  readonly authority?: { readonly pathLength?: number; readonly certSign?: boolean };
  readonly extensions?: readonly Extension[];
}

/** A certificate of any shape, good or bad; signed by itself without an issuer. */
export async function certificate(shape: Shape, issuer?: Party): Promise<Party> {
  const keys = await webcrypto.subtle.generateKey(ECDSA, true, ["sign", "verify"]);
  const names = (shape.uris ?? []).map((value) => ({ type: "url", value }) as const);
  const usage = shape.authority?.certSign === false ? KeyUsageFlags.digitalSignature : KeyUsageFlags.keyCertSign;
  const made = await X509CertificateGenerator.create({
    notBefore: shape.notBefore,
    notAfter: shape.notAfter,
    subject: `CN=${shape.name}`,
    issuer: `CN=${issuer?.name ?? shape.name}`,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: ECDSA,
    extensions: [
      ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
      ...(shape.authority
        ? [new BasicConstraintsExtension(true, shape.authority.pathLength, true), new KeyUsagesExtension(usage, true)]
        : []),
      ...(shape.extensions ?? []),
    ],
  });
  return { name: shape.name, keys, der: new Uint8Array(made.rawData) };
}
