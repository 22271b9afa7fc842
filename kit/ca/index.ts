export { crossSign, newAuthority, type NewAuthority } from "./authority.ts";
export { caClient, type CaClientOptions } from "./client.ts";
export { prepareRotation, retireRoot, switchIssuer } from "./rotation.ts";
export { checkCsr, type CheckedCsr } from "./csr.ts";

export interface IssuedCertificate {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** The certificate authority, a separate service (step-ca). */
export interface CertificateAuthority {
  /** DER roots to trust. */
  roots(): Promise<readonly Uint8Array[]>;
  /** DER: keys of roots certified by roots, as in `TrustBundle`. */
  crossSigned(): Promise<readonly Uint8Array[]>;
  /** DER: what issues leaves, where that is changing: a leaf may come without it. */
  intermediates(): Promise<readonly Uint8Array[]>;
  /**
   * Has a certificate signed for exactly this identity, whatever the request says of itself.
   * @param csr PKCS #10, DER; its key must be ECDSA P-256 and its own signature must hold.
   * @param names DNS names and IP addresses for a listener; none for a node.
   * @param ttlSeconds 10 to 86,400.
   * @throws Refusal `invalid` naming the field `csr`, or `unavailable` when the CA does not answer.
   */
  sign(csr: Uint8Array, spiffeId: string, names: readonly string[], ttlSeconds: number): Promise<IssuedCertificate>;
}
