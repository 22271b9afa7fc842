// The library asks for this polyfill to be loaded first.
import "reflect-metadata";
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { certificatesOf, newTlsKey } from "@cloudvlan/kit/pki";
import {
  AuthorityKeyIdentifierExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ECDSA_P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;

/** A certificate with its key, as a client presents it. */
export interface Credential {
  /** DER, leaf first. */
  readonly certificate: readonly Uint8Array[];
  /** PEM. */
  readonly key: string;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Signs certificates that no service would have signed, with the key of a CA. */
export interface Issuer {
  /**
   * @param uris names of the leaf, whatever they are.
   * @param validity a day from a minute ago unless said otherwise.
   */
  issue(uris: readonly string[], validity?: Validity): Promise<Credential>;
}

/** A certificate that was good yesterday. */
export function yesterday(nowMs: number): Validity {
  return { notBefore: new Date(nowMs - 2 * DAY_MS), notAfter: new Date(nowMs - DAY_MS) };
}

function cryptoKey(key: KeyObject, usage: "sign" | "verify") {
  return key.toCryptoKey(ECDSA_P256, true, [usage]);
}

/** An issuer over the key of an intermediate, as `newAuthority` and the CA's folder have it. */
export function issuerOf(intermediatePem: string, intermediateKeyPem: string): Issuer {
  const [der] = certificatesOf(intermediatePem);
  if (!der) throw new Error("the intermediate is no certificate");
  const intermediate = new X509Certificate(new Uint8Array(der));
  const signingKey = cryptoKey(createPrivateKey(intermediateKeyPem), "sign");

  return {
    async issue(uris, validity) {
      const key = newTlsKey();
      const now = Date.now();
      const { notBefore, notAfter } = validity ?? {
        notBefore: new Date(now - 60_000),
        notAfter: new Date(now + DAY_MS),
      };
      const leaf = await X509CertificateGenerator.create({
        notBefore,
        notAfter,
        subject: "CN=leaf",
        issuer: intermediate.subject,
        publicKey: cryptoKey(createPublicKey(key), "verify"),
        signingKey,
        signingAlgorithm: SIGNATURE,
        extensions: [
          new SubjectAlternativeNameExtension(uris.map((value) => ({ type: "url", value }))),
          await AuthorityKeyIdentifierExtension.create(intermediate.publicKey),
        ],
      });
      return { certificate: [new Uint8Array(leaf.rawData), der], key };
    },
  };
}
