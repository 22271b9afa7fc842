import { createHash, timingSafeEqual } from "node:crypto";
import { Refusal } from "@cloudvlan/kit/errors";

/** Why a token is refused. The caller is never told which. */
export type TokenFault =
  | "TOKEN_UNKNOWN"
  | "TOKEN_SEAL_BROKEN"
  | "TOKEN_SECRET_MISMATCH"
  | "TOKEN_REVOKED"
  | "TOKEN_USED"
  | "TOKEN_EXPIRED"
  | "TOKEN_NODE_REVOKED";

export interface TokenState {
  readonly digest: Uint8Array;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
  readonly usedBy: Uint8Array | null;
}

export function digestOf(secret: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(secret).digest());
}

/**
 * What a token is good for: a new join, the same join again (same key of the certificate request, also past the expiry),
 * or nothing.
 * @param now the database's time, which also set the expiry.
 */
export function judgeToken(
  token: TokenState,
  secret: Uint8Array,
  csrKeySha256: Uint8Array,
  now: Date,
): "new" | "again" | TokenFault {
  if (!timingSafeEqual(digestOf(secret), token.digest)) return "TOKEN_SECRET_MISMATCH";
  if (token.revokedAt) return "TOKEN_REVOKED";
  if (token.usedBy) return Buffer.compare(token.usedBy, csrKeySha256) === 0 ? "again" : "TOKEN_USED";
  return token.expiresAt <= now ? "TOKEN_EXPIRED" : "new";
}

/** The one refusal of every token; only the audit row knows `fault`. */
export function tokenRefusal(fault: TokenFault): Refusal {
  return new Refusal("unauthenticated", "TOKEN_REFUSED", "the join token is not accepted", {
    remedy: "ask for a new join token; each is good for one machine, once, until it expires",
    auditReason: fault,
  });
}
