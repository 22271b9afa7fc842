import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { and, eq, inArray } from "drizzle-orm";
import { cvlanDns } from "../schema.ts";
import type { Seals } from "../seals.ts";

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
  if (stored && !row) throw brokenRecord("SEAL_BROKEN");
  return row;
}

/** A record of a cvlan that is not this service's: nothing is signed on top of it. */
export function brokenRecord(auditReason: string): Refusal {
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
