import { createHash } from "node:crypto";

export interface TranscriptParts {
  readonly tokenId: string;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly wireguardPublicKey: Uint8Array;
  readonly controlPublicKey: Uint8Array;
}

/**
 * What both possession proofs of a join cover: SHA-256 over the parts that it binds together, each preceded by its length
 * (4 bytes, big-endian). The comment at `JoinRequest` in registry.proto is its definition.
 */
export function joinTranscript(parts: TranscriptParts): Uint8Array {
  const hash = createHash("sha256");
  const csrSha256 = createHash("sha256").update(parts.csr).digest();
  for (const part of [Buffer.from(parts.tokenId), csrSha256, parts.wireguardPublicKey, parts.controlPublicKey]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    hash.update(length).update(part);
  }
  return new Uint8Array(hash.digest());
}
