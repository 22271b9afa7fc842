import type { Tx } from "@cloudvlan/kit/db";
import { and, asc, eq, gt, isNull } from "drizzle-orm";
import { joinTokens } from "../schema.ts";
import type { Seals } from "../seals.ts";
import type { Page } from "@cloudvlan/kit/page";

export type TokenRow = typeof joinTokens.$inferSelect;

export async function insertToken(tx: Tx, seals: Seals, token: Omit<TokenRow, "seal">): Promise<TokenRow> {
  const row = seals.seal("join_token", token);
  await tx.insert(joinTokens).values(row);
  return row;
}

/** The row as it stands; whether its seal holds is the caller's to say, because the audit row tells it apart. */
export async function findToken(tx: Tx, tenantId: string, tokenId: string): Promise<TokenRow | undefined> {
  const [row] = await tx
    .select()
    .from(joinTokens)
    .where(and(eq(joinTokens.tenantId, tenantId), eq(joinTokens.id, tokenId)));
  return row;
}

/** Rows as they stand, one more than the page holds. */
export async function listTokens(tx: Tx, tenantId: string, cvlanId: string, page: Page): Promise<TokenRow[]> {
  return tx
    .select()
    .from(joinTokens)
    .where(and(eq(joinTokens.tenantId, tenantId), eq(joinTokens.cvlanId, cvlanId), gt(joinTokens.id, page.after)))
    .orderBy(asc(joinTokens.id))
    .limit(page.size + 1);
}

/**
 * Spends an unused token for a node, or loses to whoever did it first: one conditional statement, so that of any number
 * of parallel users one wins.
 * @returns false when it was spent or revoked since it was read.
 */
export async function spendToken(
  tx: Tx,
  seals: Seals,
  token: TokenRow,
  usedBy: Uint8Array,
  nodeId: string,
): Promise<boolean> {
  const spent = await tx
    .update(joinTokens)
    .set(seals.seal("join_token", { ...token, usedBy, nodeId }))
    .where(
      and(
        eq(joinTokens.tenantId, token.tenantId),
        eq(joinTokens.id, token.id),
        isNull(joinTokens.usedBy),
        isNull(joinTokens.revokedAt),
        eq(joinTokens.seal, token.seal),
      ),
    )
    .returning({ id: joinTokens.id });
  return spent.length > 0;
}

/** @returns the revoked row, or undefined when it changed since it was read. */
export async function revokeToken(
  tx: Tx,
  seals: Seals,
  token: TokenRow,
  revokedAt: Date,
): Promise<TokenRow | undefined> {
  const row = seals.seal("join_token", { ...token, revokedAt });
  const revoked = await tx
    .update(joinTokens)
    .set(row)
    .where(and(eq(joinTokens.tenantId, token.tenantId), eq(joinTokens.id, token.id), eq(joinTokens.seal, token.seal)))
    .returning({ id: joinTokens.id });
  return revoked.length > 0 ? row : undefined;
}
