import { hostname } from "node:os";
import type { Client } from "@connectrpc/connect";
import type { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { ServiceName } from "../caller/index.ts";
import type { Clock } from "../clock/index.ts";
import { ConfigError, type IdentityFiles, readConfigFile, readSecretFile } from "../config/index.ts";
import { replaceWhole } from "../files/index.ts";
import type { CertificateAuthority } from "../ca/index.ts";
import { certificatesOf, createCsr, formatSpiffe, newTlsKey, pemOf, type SpiffeId, verifyChain } from "../pki/index.ts";

/** Seconds that certificates of the platform live. */
const PLATFORM_TTL_SECONDS = 86_400;

/** Former intermediates that a service remembers. */
const MAX_INTERMEDIATES = 4;

/** Certificate, key and roots of one workload of the platform, as they are now. */
export interface Identity {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** PEM. */
  readonly key: string;
  /** DER. */
  readonly roots: readonly Uint8Array[];
  /** DER: other intermediates of the CA, under which clients may come. */
  readonly intermediates: readonly Uint8Array[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** A host name as it may stand in a SPIFFE id. */
function hostPart(): string {
  const name = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/g, "-")
    .replace(/^[.-]+|[.-]+$/g, "")
    .slice(0, 200);
  return name === "" ? "localhost" : name;
}

/** Has the CA certify a fresh key. */
async function certify(ca: CertificateAuthority, spiffe: SpiffeId, names: readonly string[]): Promise<Identity> {
  const key = newTlsKey();
  const issued = await ca.sign(await createCsr(key), formatSpiffe(spiffe), names, PLATFORM_TTL_SECONDS);
  return { ...issued, key, roots: await ca.roots(), intermediates: await ca.intermediates() };
}

/** Identity of the listener of a process that runs auth. */
export function certifyListener(
  ca: CertificateAuthority,
  trustDomain: string,
  names: readonly string[],
): Promise<Identity> {
  return certify(ca, { trustDomain, kind: "controller", host: hostPart() }, names);
}

/** Identity with which a local service calls others, in a process that runs auth. */
export function certifyService(ca: CertificateAuthority, trustDomain: string, name: ServiceName): Promise<Identity> {
  return certify(ca, { trustDomain, kind: "service", name }, []);
}

/**
 * Reads the identity that an operator issued for a service that runs without auth.
 * @throws ConfigError when a file is missing, readable by others, or not an identity of this service.
 */
export function readIdentity(files: IdentityFiles, trustDomain: string, name: ServiceName, clock: Clock): Identity {
  const chain = certificatesOf(readConfigFile(files.certificate));
  const roots = certificatesOf(readConfigFile(files.roots));
  const key = readSecretFile(files.key);
  const verdict = verifyChain(chain, roots, clock.nowMs(), { trustDomain });
  const fail = (message: string): ConfigError =>
    new ConfigError(files.certificate, [{ position: "", key: `identities.${name}`, message }]);
  if (!verdict.ok) throw fail(`${verdict.reason}; issue the identity anew on the machine of auth`);
  if (verdict.spiffe.kind !== "service" || verdict.spiffe.name !== name) {
    throw fail(`it is ${verdict.uri} and not the service ${name}; issue one for this service`);
  }
  return { chain, key, roots, intermediates: [], notBefore: verdict.notBefore, notAfter: verdict.notAfter };
}

/** Renews by auth with the same key, and keeps the certificate where it was read from. */
export async function renewIdentity(
  current: Identity,
  files: IdentityFiles,
  certificates: Client<typeof CertificateService>,
  signal: AbortSignal,
): Promise<Identity> {
  const csr = await createCsr(current.key);
  const { certificate, bundle } = await certificates.renewCertificate({ csr }, { signal });
  const [notBefore, notAfter] = [certificate?.notBefore, certificate?.notAfter];
  if (!certificate || !bundle || !notBefore || !notAfter) throw new Error("auth answered without a certificate");
  await replaceWhole(files.certificate, pemOf(certificate.chain));
  await replaceWhole(files.roots, pemOf(bundle.roots));
  return {
    chain: certificate.chain,
    key: current.key,
    roots: bundle.roots,
    // What issued before: members renew after this one, or did.
    intermediates: [...current.chain.slice(1), ...current.intermediates].slice(0, MAX_INTERMEDIATES),
    notBefore: new Date(Number(notBefore.seconds) * 1000),
    notAfter: new Date(Number(notAfter.seconds) * 1000),
  };
}
