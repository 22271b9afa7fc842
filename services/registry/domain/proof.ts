import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  timingSafeEqual,
} from "node:crypto";
import { Refusal } from "@cloudvlan/kit/errors";

const SPKI_PREFIX = Buffer.from("302a300506032b656e032100", "hex");
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");
const CONTEXT = "cloudvlan/join/v1";

/** An X25519 key pair (RFC 7748), raw, 32 bytes each. */
export function newKeyPair(): { privateKey: Uint8Array; publicKey: Uint8Array } {
  const pair = generateKeyPairSync("x25519");
  return {
    privateKey: new Uint8Array(pair.privateKey.export({ format: "der", type: "pkcs8" }).subarray(PKCS8_PREFIX.length)),
    publicKey: new Uint8Array(pair.publicKey.export({ format: "der", type: "spki" }).subarray(SPKI_PREFIX.length)),
  };
}

export type ProofLabel = "wireguard" | "control";

/**
 * The proof of possession of the private key of `publicKey`, as `JoinRequest` defines it; either side computes it.
 * @returns undefined when `publicKey` is of low order (RFC 7748 section 6.1): its shared secret is known to everybody.
 */
export function proofOf(
  label: ProofLabel,
  privateKey: Uint8Array,
  publicKey: Uint8Array,
  challenge: Uint8Array,
  transcript: Uint8Array,
): Uint8Array | undefined {
  const shared = sharedSecret(privateKey, publicKey);
  if (!shared) return undefined;
  const key = Buffer.from(hkdfSync("sha256", shared, challenge, CONTEXT, 32));
  return new Uint8Array(createHmac("sha256", key).update(`${CONTEXT}\0${label}`).update(transcript).digest());
}

function sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Buffer | undefined {
  const own = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, privateKey]), format: "der", type: "pkcs8" });
  const other = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: "der", type: "spki" });
  try {
    const shared = diffieHellman({ privateKey: own, publicKey: other });
    return shared.every((byte) => byte === 0) ? undefined : shared;
  } catch {
    // OpenSSL fails the derivation for a key of low order.
    return undefined;
  }
}

/** @throws Refusal `invalid` naming the key or its proof. */
export function checkProof(
  label: ProofLabel,
  serverKey: Uint8Array,
  publicKey: Uint8Array,
  challenge: Uint8Array,
  transcript: Uint8Array,
  proof: Uint8Array,
): void {
  const expected = proofOf(label, serverKey, publicKey, challenge, transcript);
  if (!expected) {
    throw new Refusal("invalid", "KEY_LOW_ORDER", `the ${label} public key is of low order`, {
      field: `${label}_public_key`,
      remedy: "make a new key pair",
    });
  }
  if (proof.length !== expected.length || !timingSafeEqual(proof, expected)) {
    throw new Refusal("invalid", "PROOF_INVALID", `the proof of the ${label} key does not hold`, {
      field: `${label}_proof`,
      remedy: "call BeginJoin again and prove both keys against its answer",
    });
  }
}
