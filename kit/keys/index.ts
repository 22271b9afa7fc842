export { fileKeyProvider } from "./file.ts";
export { beginMasterRotation, type MasterRotation } from "./rotate.ts";
export { sealOf, requireSeal, type SealFields, type SealValue } from "./seal.ts";

/**
 * Keeper of what is secret: the database alone never gives it away. The default reads a master key from a 0600 file;
 * a KMS fits behind the same interface.
 */
export interface KeyProvider {
  /** Encrypts for storage; only the same context unwraps it. */
  wrap(context: string, secret: Uint8Array): Promise<Uint8Array>;
  /** @throws Error when the bytes were not wrapped by this provider for this context. */
  unwrap(context: string, wrapped: Uint8Array): Promise<Uint8Array>;
  /** HMAC-SHA256 under a key derived for the context, 32 bytes. Selectors and journals keep theirs when the master key is replaced. */
  mac(context: string, data: Uint8Array): Uint8Array;
  /** True when `mac` made it of the same, compared in constant time. */
  verify(context: string, data: Uint8Array, mac: Uint8Array): boolean;
}
