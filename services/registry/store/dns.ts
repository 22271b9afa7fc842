import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { and, asc, eq, inArray } from "drizzle-orm";
import { cvlanDns, publications } from "../schema.ts";
import type { Seals } from "../seals.ts";

/** Channel on which workers tell each other that cvlans are to be published. */
export const PUBLICATIONS = "registry_publications";

export type DnsRow = typeof cvlanDns.$inferSelect;

/**
 * The row of a cvlan, locked; undefined before its first record.
 * @throws Refusal `not_found` when the row is not this service's.
 */
export async function lockDns(tx: Tx, seals: Seals, tenantId: string, cvlanId: string): Promise<DnsRow | undefined> {
  const [stored] = await tx
    .select()
    .from(cvlanDns)
    .where(and(eq(cvlanDns.tenantId, tenantId), eq(cvlanDns.cvlanId, cvlanId)))
    .for("update");
  const row = seals.open("cvlan_dns", stored);
  if (stored && !row) throw brokenDns("SEAL_BROKEN");
  return row;
}

export function brokenDns(auditReason: string): Refusal {
  return new Refusal("not_found", "CVLAN_NOT_FOUND", "there is no such cvlan", {
    field: "cvlan_id",
    remedy: "list the tenant's cvlans",
    auditReason,
  });
}

/** Stores a row in place of the former one. */
export async function putDns(tx: Tx, seals: Seals, dns: Omit<DnsRow, "seal">): Promise<void> {
  const row = seals.seal("cvlan_dns", dns);
  const { domain, record, recordRevision, seal } = row;
  await tx
    .insert(cvlanDns)
    .values(row)
    .onConflictDoUpdate({ target: [cvlanDns.cvlanId], set: { domain, record, recordRevision, seal } });
}

export function domainTaken(domain: string): Refusal {
  return new Refusal("exists", "DNS_DOMAIN_TAKEN", `another cvlan of the tenant has the domain ${domain}`, {
    field: "dns_domain",
    remedy: "choose another domain",
  });
}

/** True when a cvlan of the tenant has the domain. */
export async function isDomainTaken(tx: Tx, tenantId: string, domain: string): Promise<boolean> {
  const found = await tx
    .select({ id: cvlanDns.cvlanId })
    .from(cvlanDns)
    .where(and(eq(cvlanDns.tenantId, tenantId), eq(cvlanDns.domain, domain)));
  return found.length > 0;
}

/** Domains of those of the cvlans that have a record. */
export async function domainsOf(
  tx: Tx,
  seals: Seals,
  tenantId: string,
  cvlanIds: readonly string[],
): Promise<Map<string, string>> {
  if (cvlanIds.length === 0) return new Map();
  const rows = await tx
    .select()
    .from(cvlanDns)
    .where(and(eq(cvlanDns.tenantId, tenantId), inArray(cvlanDns.cvlanId, [...cvlanIds])));
  return new Map(rows.filter((row) => seals.open("cvlan_dns", row)).map((row) => [row.cvlanId, row.domain]));
}

/** Cvlans that are due, in a fixed order, past the first `skip`; of every tenant when in a platform transaction. */
export async function listDue(tx: Tx, limit: number, skip: number): Promise<{ cvlanId: string; owner: string }[]> {
  return tx
    .select({ cvlanId: publications.cvlanId, owner: publications.owner })
    .from(publications)
    .where(eq(publications.due, true))
    .orderBy(asc(publications.cvlanId))
    .limit(limit)
    .offset(skip);
}

/**
 * Takes a cvlan off the list, before anything of it is read: who changes it afterwards puts it on again.
 * @returns false when it was not on the list, or is gone.
 */
export async function takeDue(tx: Tx, cvlanId: string): Promise<boolean> {
  const taken = await tx
    .update(publications)
    .set({ due: false })
    .where(and(eq(publications.cvlanId, cvlanId), eq(publications.due, true)))
    .returning({ id: publications.cvlanId });
  return taken.length > 0;
}
