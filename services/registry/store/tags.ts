import type { Tx } from "@cloudvlan/kit/db";
import { and, asc, count, eq, isNull, sql } from "drizzle-orm";
import { joinTokens, nodes } from "../schema.ts";

export interface TagCount {
  readonly key: string;
  readonly value: string;
  readonly nodes: number;
}

const PAIR = { key: sql<string>`pair.key`.as("tag_key"), value: sql<string>`pair.value`.as("tag_value") };

/** Tags that live nodes of the cvlan carry. */
export async function countTags(tx: Tx, tenantId: string, cvlanId: string): Promise<TagCount[]> {
  const pair = tx
    .select(PAIR)
    .from(nodes)
    .innerJoin(sql`lateral jsonb_each_text(${nodes.tags}) as pair`, sql`true`)
    .where(and(eq(nodes.tenantId, tenantId), eq(nodes.cvlanId, cvlanId), isNull(nodes.revokedAt)))
    .as("pairs");
  return tx
    .select({ key: pair.key, value: pair.value, nodes: count() })
    .from(pair)
    .groupBy(pair.key, pair.value)
    .orderBy(asc(pair.key), asc(pair.value));
}

/** Tags that a node, live or gone, or a join token of the cvlan has or had, as `key=value`. */
export async function knownTags(tx: Tx, tenantId: string, cvlanId: string): Promise<Set<string>> {
  const ofNodes = await tx
    .selectDistinct(PAIR)
    .from(nodes)
    .innerJoin(sql`lateral jsonb_each_text(${nodes.tags}) as pair`, sql`true`)
    .where(and(eq(nodes.tenantId, tenantId), eq(nodes.cvlanId, cvlanId)));
  const ofTokens = await tx
    .selectDistinct(PAIR)
    .from(joinTokens)
    .innerJoin(sql`lateral jsonb_each_text(${joinTokens.tags}) as pair`, sql`true`)
    .where(and(eq(joinTokens.tenantId, tenantId), eq(joinTokens.cvlanId, cvlanId)));
  return new Set([...ofNodes, ...ofTokens].map(({ key, value }) => `${key}=${value}`));
}
