import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Signed, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";

/** What a signature is about; a key of one role never signs for another domain. See `netmap.proto`. */
export type Domain = "keyset" | "root" | "node" | "dns" | "relay-map" | "rule" | "manifest" | "head" | "call-context";

/** An Ed25519 key pair (RFC 8032). */
export interface SigningKey {
  readonly keyId: string;
  readonly privateKey: KeyObject;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** Largest signed record that a node takes, serialised, bytes; the engine refuses a larger one. */
export const MAX_RECORD_BYTES = 4_096;

/** Largest signed DNS record that a node takes, serialised, bytes: room for 64 routes with the longest names. */
export const MAX_DNS_BYTES = 65_536;

/** Largest signed relay map that a node takes, serialised, bytes: 64 servers of 4 endpoints, and room for more of each. */
export const MAX_RELAY_MAP_BYTES = 32_768;

const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

function message(domain: Domain, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`cloudvlan/${domain}/v1\0`), payload]);
}

/** Makes a key pair and returns the 32-byte seed to keep. */
export function newSigningSeed(): Uint8Array {
  const { privateKey } = generateKeyPairSync("ed25519");
  return new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" }).subarray(PKCS8_PREFIX.length));
}

/** @param seed 32 bytes. */
export function signingKeyFromSeed(keyId: string, seed: Uint8Array): SigningKey {
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: "der", type: "pkcs8" });
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return { keyId, privateKey, publicKey: new Uint8Array(spki.subarray(SPKI_PREFIX.length)) };
}

export function signRecord(key: SigningKey, domain: Domain, payload: Uint8Array): Signed {
  return create(SignedSchema, {
    keyId: key.keyId,
    payload,
    signature: sign(null, message(domain, payload), key.privateKey),
  });
}

/** @param publicKey 32 bytes; any other length, and any bad signature, is false. */
export function verifyRecord(publicKey: Uint8Array, domain: Domain, record: Signed): boolean {
  if (publicKey.length !== 32 || record.signature.length !== 64) return false;
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: "der", type: "spki" });
  return verify(null, message(domain, record.payload), key, record.signature);
}
