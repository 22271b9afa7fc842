import { setTimeout as sleep } from "node:timers/promises";
import type { DnsRoute } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Tx } from "@cloudvlan/kit/db";
import { isId, type TenantId } from "@cloudvlan/kit/ids";
import { isSignedBy, type RoleKey } from "@cloudvlan/kit/sign";
import type { RegistryDeps, SigningDeps } from "../deps.ts";
import { defaultDomain, openDns, says, signDns, uniqueDomain } from "../domain/dns.ts";
import { poolsOf } from "../domain/pool.ts";
import { type CvlanRow, requireCvlan } from "../store/cvlans.ts";
import { brokenDns, type DnsRow, isDomainTaken, lockDns, putDns } from "../store/dns.ts";
import { continueFanOut, listDue, PUBLICATIONS, takeDue } from "../store/publications.ts";
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
  if (former && record?.recordRevision !== former.recordRevision) throw brokenDns("RECORD_SIGNATURE_BROKEN");
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

/** Cvlans taken up at once. */
const BATCH = 100;
/** Cvlans that a change of a layer puts on the list in one transaction. */
const FAN_OUT = 500;
/** Milliseconds between looks without being woken. */
const LOOK_MS = 10_000;

/** Publishes what is due, until the signal aborts. */
export async function publishDue(deps: RegistryDeps, signal: AbortSignal): Promise<void> {
  let pause = new AbortController();
  await using _listening = await deps.db.listen(PUBLICATIONS, () => pause.abort());
  while (!signal.aborted) {
    pause = new AbortController();
    while (!signal.aborted && (await deps.db.platform((tx) => continueFanOut(tx, FAN_OUT)))) continue;
    await publishAll(deps, signal);
    await sleep(LOOK_MS, undefined, { signal: AbortSignal.any([signal, pause.signal]) }).catch(() => undefined);
  }
}

async function publishAll(deps: RegistryDeps, signal: AbortSignal): Promise<void> {
  // Those that fail stay listed, and are passed over so that they keep nobody waiting.
  for (let failed = 0; ;) {
    const skip = failed;
    const due = await deps.db.platform((tx) => listDue(tx, BATCH, skip));
    for (const { cvlanId, owner } of due) {
      if (signal.aborted) return;
      if (!(await publishOne(deps, cvlanId, owner))) failed++;
    }
    if (due.length < BATCH) return;
  }
}

async function publishOne(deps: RegistryDeps, cvlanId: string, owner: string): Promise<boolean> {
  if (!isId("tenant", owner)) {
    deps.log.error({ object_id: cvlanId }, "a cvlan to be published names no tenant; it is left alone");
    return false;
  }
  try {
    await takeUp(deps, owner, cvlanId);
    return true;
  } catch (error) {
    deps.log.warn({ error, tenant_id: owner, cvlan_id: cvlanId }, "a cvlan is not published yet; it is tried again");
    return false;
  }
}

async function takeUp(deps: RegistryDeps, tenantId: TenantId, cvlanId: string): Promise<void> {
  await deps.enrolKeys.signing(tenantId, async (tx, key) => {
    if (!(await takeDue(tx, cvlanId))) return;
    const cvlan = await requireCvlan(tx, deps.seals, tenantId, cvlanId);
    await publishCvlan(deps, tx, key, cvlan);
  });
}
