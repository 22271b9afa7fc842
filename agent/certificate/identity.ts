import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { Refusal } from "@cloudvlan/kit/errors";
import { verifyChain } from "@cloudvlan/kit/pki";

/** What this node shows and trusts in TLS. */
export interface TlsIdentity {
  /** PKCS #8, PEM. */
  readonly keyPem: string;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** DER. */
  readonly roots: readonly Uint8Array[];
  readonly notBefore: Date;
  /** May be past: renewal accepts it. */
  readonly notAfter: Date;
}

/** Whom the certificate must name. */
export interface ExpectedNode {
  readonly clusterId: string;
  readonly tenantId: string;
  readonly nodeId: string;
}

/**
 * Takes a certificate only when it chains to the roots, belongs to our key and names our node.
 * @param nowMs milliseconds since the Unix epoch.
 * @throws Refusal `CERTIFICATE_WRONG`.
 */
export function acceptCertificate(
  keyPem: string,
  chain: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  expected: ExpectedNode,
  nowMs: number,
): TlsIdentity {
  const verdict = verifyChain(chain, roots, nowMs, { trustDomain: expected.clusterId });
  if (!verdict.ok) throw wrong(verdict.reason);
  const { spiffe, notBefore, notAfter } = verdict;
  if (spiffe.kind !== "node" || spiffe.tenantId !== expected.tenantId || spiffe.nodeId !== expected.nodeId) {
    throw wrong("it names another node");
  }
  if (!belongsTo(chain, keyPem)) throw wrong("it belongs to another key");
  return { keyPem, chain, roots, notBefore, notAfter };
}

/** True when the leaf certifies the public half of this key. */
export function belongsTo(chain: readonly Uint8Array[], keyPem: string): boolean {
  const [leaf] = chain;
  if (!leaf) return false;
  return new X509Certificate(leaf).publicKey.equals(createPublicKey(createPrivateKey(keyPem)));
}

function wrong(why: string): Refusal {
  return new Refusal("conflict", "CERTIFICATE_WRONG", `the certificate that was issued is not ours: ${why}`, {
    remedy: "check the clock of this machine, then ask the operator of the controller",
  });
}
