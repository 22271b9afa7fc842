import type { CertificateAuthority } from "../../ca/index.ts";
import { createCsr, formatSpiffe, newTlsKey, type SpiffeId } from "../../pki/index.ts";
import {
  AuthorityKeyIdentifierExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "../../pki/x509.ts";
import { isIP } from "node:net";
import { certificate, type Party } from "../pki/certificates.ts";

const DAY_MS = 86_400_000;

/** A certificate with its key, as a client presents it. */
export interface Credential {
  readonly certificate: readonly Uint8Array[];
  readonly key: string;
}

/** A CA inside the test: root, intermediate and leaves of any identity and validity. */
export interface TestAuthority extends CertificateAuthority {
  readonly root: Party;
  issue(spiffe: SpiffeId, validity?: { notBefore: Date; notAfter: Date }): Promise<Credential>;
}

export async function testAuthority(): Promise<TestAuthority> {
  const now = Date.now();
  const validity = { notBefore: new Date(now - DAY_MS), notAfter: new Date(now + 10 * DAY_MS) };
  const root = await certificate({ name: "root", ...validity, authority: { pathLength: 1 } });
  const issuer = await certificate({ name: "issuer", ...validity, authority: { pathLength: 0 } }, root);

  async function leaf(csr: Uint8Array, uri: string, names: readonly string[], notBefore: Date, notAfter: Date) {
    const request = new Pkcs10CertificateRequest(new Uint8Array(csr));
    const made = await X509CertificateGenerator.create({
      notBefore,
      notAfter,
      subject: "CN=leaf",
      issuer: "CN=issuer",
      publicKey: request.publicKey,
      signingKey: issuer.keys.privateKey,
      signingAlgorithm: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
      extensions: [
        new SubjectAlternativeNameExtension([
          { type: "url", value: uri },
          ...names.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }) as const),
        ]),
        await AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey),
      ],
    });
    return { chain: [new Uint8Array(made.rawData), issuer.der], notBefore, notAfter };
  }

  return {
    root,
    roots: () => Promise.resolve([root.der]),
    crossSigned: () => Promise.resolve([]),
    intermediates: () => Promise.resolve([]),
    sign: (csr, uri, names, ttlSeconds) =>
      leaf(csr, uri, names, new Date(Date.now() - 1000), new Date(Date.now() + ttlSeconds * 1000)),
    issue: async (
      spiffe,
      { notBefore, notAfter } = { notBefore: new Date(), notAfter: new Date(Date.now() + DAY_MS) },
    ) => {
      const key = newTlsKey();
      const { chain } = await leaf(await createCsr(key), formatSpiffe(spiffe), [], notBefore, notAfter);
      return { certificate: chain, key };
    },
  };
}
