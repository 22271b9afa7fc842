import { Refusal } from "@cloudvlan/kit/errors";
import type { KeyProvider } from "@cloudvlan/kit/keys";

const CONTEXT = "registry/join-challenge";
const KEY_BYTES = 32;

/** Milliseconds a challenge is good for. */
export const CHALLENGE_LIFE = 5 * 60_000;

/** Seals the server's one-time private key, so that any worker can take the answer and none has to remember. */
export async function sealChallenge(keys: KeyProvider, privateKey: Uint8Array, nowMs: number): Promise<Uint8Array> {
  const secret = new Uint8Array(KEY_BYTES + 8);
  secret.set(privateKey);
  new DataView(secret.buffer).setBigUint64(KEY_BYTES, BigInt(nowMs + CHALLENGE_LIFE));
  return keys.wrap(CONTEXT, secret);
}

/**
 * The private key in a challenge.
 * @throws Refusal `invalid` naming the field `challenge` when this installation did not make it, or it is too old.
 */
export async function openChallenge(keys: KeyProvider, challenge: Uint8Array, nowMs: number): Promise<Uint8Array> {
  const secret = await keys.unwrap(CONTEXT, challenge).catch(() => undefined);
  if (secret?.length !== KEY_BYTES + 8) {
    throw refusal("CHALLENGE_INVALID", "the challenge was not made by this control plane");
  }
  const expiresAt = new DataView(secret.buffer, secret.byteOffset).getBigUint64(KEY_BYTES);
  if (expiresAt <= BigInt(nowMs)) throw refusal("CHALLENGE_EXPIRED", "the challenge is older than 5 minutes");
  return secret.slice(0, KEY_BYTES);
}

function refusal(reason: string, message: string): Refusal {
  return new Refusal("invalid", reason, message, { field: "challenge", remedy: "call BeginJoin again" });
}
