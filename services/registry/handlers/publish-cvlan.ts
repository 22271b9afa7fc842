import type { DnsRoute } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import { isSignedBy, type RoleKey } from "@cloudvlan/kit/sign";
import type { SigningDeps } from "../deps.ts";
import { defaultDomain, openDns, says, signDns, uniqueDomain } from "../domain/dns.ts";
import { poolsOf } from "../domain/pool.ts";
import type { CvlanRow } from "../store/cvlans.ts";
import { brokenRecord, type DnsRow, isDomainTaken, lockDns, putDns } from "../store/dns.ts";
import { effective } from "./effective.ts";

/** Object ids in a cvlan's stream. */
const DNS = "dns";
const SETTINGS = "settings";

/**
 * Tells the cvlan's stream what is in force, and signs its DNS record anew when what it says, or the key, has changed.
 * @param domain undefined to keep the one it has.
 * @returns the domain.
 */
export async function publishCvlan(
  deps: SigningDeps,
  tx: Tx,
  key: RoleKey,
  cvlan: CvlanRow,
  domain?: string,
): Promise<string> {
  const value = await effective(deps, tx, { tenantId: cvlan.tenantId, cvlanId: cvlan.id });
  await deps.changes.append(tx, cvlan.id, [{ objectId: SETTINGS, change: { case: "settings", value } }]);
  return publishDns(deps, tx, key, cvlan, value.settings?.dnsRoutes?.routes ?? [], domain);
}

/** The same for the DNS record alone. */
export async function publishDomain(
  deps: SigningDeps,
  tx: Tx,
  key: RoleKey,
  cvlan: CvlanRow,
  domain?: string,
): Promise<string> {
  const { settings } = await effective(deps, tx, { tenantId: cvlan.tenantId, cvlanId: cvlan.id });
  return publishDns(deps, tx, key, cvlan, settings?.dnsRoutes?.routes ?? [], domain);
}

async function publishDns(
  deps: SigningDeps,
  tx: Tx,
  key: RoleKey,
  cvlan: CvlanRow,
  routes: readonly DnsRoute[],
  domain: string | undefined,
): Promise<string> {
  const { tenantId, id: cvlanId } = cvlan;
  const former = await lockDns(tx, deps.seals, tenantId, cvlanId);
  const record = former && openDns(key, former);
  if (former && record?.recordRevision !== former.recordRevision) throw brokenRecord("RECORD_SIGNATURE_BROKEN");
  const wanted = {
    domain: domain ?? former?.domain ?? (await firstDomain(tx, cvlan)),
    pools: poolsOf(cvlan),
    routes,
  };
  if (record && isSignedBy(key, former.record) && says(record, wanted)) return wanted.domain;
  const recordRevision = (former?.recordRevision ?? 0n) + 1n;
  const signed = signDns(key, { tenantId, cvlanId }, wanted, recordRevision);
  const row: Omit<DnsRow, "seal"> = { tenantId, cvlanId, domain: wanted.domain, record: signed, recordRevision };
  await putDns(tx, deps.seals, row);
  await deps.changes.append(tx, cvlanId, [{ objectId: DNS, change: { case: "dns", value: signed } }]);
  return wanted.domain;
}

async function firstDomain(tx: Tx, cvlan: CvlanRow): Promise<string> {
  const domain = defaultDomain(cvlan.name);
  return (await isDomainTaken(tx, cvlan.tenantId, domain)) ? uniqueDomain(cvlan) : domain;
}
