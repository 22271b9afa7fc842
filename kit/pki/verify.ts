import { X509Certificate } from "node:crypto";
import { parseSpiffe, type SpiffeId } from "./spiffe.ts";
import { BasicConstraintsExtension, KeyUsageFlags, KeyUsagesExtension } from "./x509.ts";
import { SubjectAlternativeNameExtension, X509Certificate as ParsedCertificate } from "./x509.ts";

/** Certificates of a presented chain, root left out: leaf and at most two intermediates. */
const MAX_CHAIN = 3;
const MAX_CERTIFICATE_BYTES = 16_384;
/** How far behind ours the clock of an issuer may be. */
const CLOCK_TOLERANCE_MS = 300_000;
/** Extensions that are looked at here; any other critical one refuses the certificate (RFC 5280 section 4.2). */
const KNOWN_EXTENSIONS = new Set(["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"]);

export type ChainVerdict =
  | {
      readonly ok: true;
      readonly spiffe: SpiffeId;
      /** The URI as the certificate has it. */
      readonly uri: string;
      readonly notBefore: Date;
      readonly notAfter: Date;
      /** The leaf is past its validity and everything else holds: good for renewal alone. */
      readonly expired: boolean;
    }
  | { readonly ok: false; readonly reason: string };

interface Certificate {
  readonly raw: X509Certificate;
  readonly isAuthority: boolean;
  /** Intermediates allowed below; undefined for any number. */
  readonly pathLength: number | undefined;
  readonly uris: readonly string[];
}

class BadChain extends Error {}

/**
 * Judges a certificate chain by our rules (RFC 5280 section 6 for what our CA issues): signatures up to one of the roots,
 * issuers that are authorities within their path length and validity, and a leaf with exactly one URI SAN, a SPIFFE id of
 * the trust domain.
 * @param chainDer leaf first; a root at its end does no harm.
 * @param nowMs milliseconds since the Unix epoch.
 */
export function verifyChain(
  chainDer: readonly Uint8Array[],
  rootsDer: readonly Uint8Array[],
  nowMs: number,
  options: { readonly trustDomain: string },
): ChainVerdict {
  try {
    const [leaf, ...others] = chainDer.map(parse);
    if (!leaf) throw new BadChain("no certificate was presented");
    if (chainDer.length > MAX_CHAIN + 1) throw new BadChain(`the chain is longer than ${MAX_CHAIN} certificates`);
    climb(leaf, others, rootsDer.map(parse), nowMs);
    return judgeLeaf(leaf, nowMs, options.trustDomain);
  } catch (error) {
    if (error instanceof BadChain) return { ok: false, reason: error.message };
    throw error;
  }
}

function parse(der: Uint8Array): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) throw new BadChain("a certificate is too long");
  try {
    const parsed = new ParsedCertificate(new Uint8Array(der));
    for (const extension of parsed.extensions) {
      if (extension.critical && !KNOWN_EXTENSIONS.has(extension.type)) throw new BadChain("unknown critical extension");
    }
    const constraints = parsed.getExtension(BasicConstraintsExtension);
    const usages = parsed.getExtension(KeyUsagesExtension)?.usages ?? 0;
    const names = parsed.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
    return {
      raw: new X509Certificate(der),
      isAuthority: constraints?.ca === true && (usages & KeyUsageFlags.keyCertSign) !== 0,
      pathLength: constraints?.pathLength,
      uris: names.filter((name) => name.type === "url").map((name) => name.value),
    };
  } catch (error) {
    throw error instanceof BadChain ? error : new BadChain("a certificate cannot be parsed");
  }
}

/** Follows the chain from the leaf to a root. */
function climb(leaf: Certificate, others: readonly Certificate[], roots: readonly Certificate[], nowMs: number): void {
  let below = leaf;
  for (let intermediates = 0; intermediates < MAX_CHAIN; intermediates++) {
    const root = roots.find((candidate) => issued(candidate, below));
    if (root) {
      checkIssuer(root, intermediates, nowMs);
      return;
    }
    const next = others[intermediates];
    if (!next) throw new BadChain("the chain does not lead to a trusted root");
    checkIssuer(next, intermediates, nowMs);
    if (!issued(next, below)) throw new BadChain("the chain does not lead to a trusted root");
    below = next;
  }
  throw new BadChain(`the chain is longer than ${MAX_CHAIN} certificates`);
}

function issued(issuer: Certificate, subject: Certificate): boolean {
  if (!subject.raw.checkIssued(issuer.raw)) return false;
  try {
    return subject.raw.verify(issuer.raw.publicKey);
  } catch {
    throw new BadChain("an issuer's key cannot be used");
  }
}

function checkIssuer(issuer: Certificate, intermediatesBelow: number, nowMs: number): void {
  if (!issuer.isAuthority) throw new BadChain("an issuer is not a certificate authority");
  if (issuer.pathLength !== undefined && intermediatesBelow > issuer.pathLength) {
    throw new BadChain("the chain is longer than an issuer allows");
  }
  const tooEarly = nowMs < issuer.raw.validFromDate.getTime() - CLOCK_TOLERANCE_MS;
  if (tooEarly || nowMs > issuer.raw.validToDate.getTime()) throw new BadChain("an issuer is outside its validity");
}

function judgeLeaf(leaf: Certificate, nowMs: number, trustDomain: string): ChainVerdict {
  if (leaf.isAuthority || leaf.raw.ca) throw new BadChain("the leaf is a certificate authority");
  const [uri] = leaf.uris;
  if (uri === undefined || leaf.uris.length !== 1) throw new BadChain("the leaf does not have exactly one URI name");
  const spiffe = parseSpiffe(uri);
  if (!spiffe) throw new BadChain("the leaf's URI name is not a SPIFFE id of this system");
  if (spiffe.trustDomain !== trustDomain) throw new BadChain("the leaf is of another trust domain");
  const { validFromDate: notBefore, validToDate: notAfter } = leaf.raw;
  if (nowMs < notBefore.getTime() - CLOCK_TOLERANCE_MS) throw new BadChain("the leaf is not valid yet");
  return { ok: true, spiffe, uri, notBefore, notAfter, expired: nowMs > notAfter.getTime() };
}
