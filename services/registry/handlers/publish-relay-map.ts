import type { Tx } from "@cloudvlan/kit/db";
import { isSignedBy, type RoleKey } from "@cloudvlan/kit/sign";
import type { SigningDeps } from "../deps.ts";
import { names, openRelayMap, signServers } from "../domain/relay-map.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { allServers } from "../store/discovery-servers.ts";
import { brokenRecord } from "../store/dns.ts";
import { takeRelayDue } from "../store/publications.ts";
import { lockRelayMap, putRelayMap, relayRevision } from "../store/relay-maps.ts";

/** Object id in a cvlan's stream. */
const RELAY_MAP = "relay_map";

/** Brings the relay map of a cvlan up to date, unless it was told what servers there are. */
export async function publishRelayMap(
  deps: SigningDeps,
  tx: Tx,
  key: RoleKey,
  tenantId: string,
  cvlanId: string,
): Promise<void> {
  if (!(await takeRelayDue(tx, cvlanId, await relayRevision(tx)))) return;
  await requireCvlan(tx, deps.seals, tenantId, cvlanId);
  await signRelayMap(deps, tx, key, { tenantId, cvlanId });
}

/**
 * Signs the relay map of a cvlan anew when what it says, or the key, has changed, and tells the cvlan's stream.
 * Before the first server there is nothing to say.
 */
export async function signRelayMap(
  deps: SigningDeps,
  tx: Tx,
  key: RoleKey,
  cvlan: { readonly tenantId: string; readonly cvlanId: string },
): Promise<void> {
  const { tenantId, cvlanId } = cvlan;
  const former = await lockRelayMap(tx, deps.seals, tenantId, cvlanId);
  const record = former && openRelayMap(key, former);
  if (former && record?.recordRevision !== former.recordRevision) throw brokenRecord("RECORD_SIGNATURE_BROKEN");
  const servers = await allServers(tx, deps.seals);
  const isSaid = record ? isSignedBy(key, former.record) && names(record, servers) : servers.length === 0;
  if (isSaid) return;
  const recordRevision = (former?.recordRevision ?? 0n) + 1n;
  const signed = signServers(key, cvlan, servers, recordRevision);
  await putRelayMap(tx, deps.seals, { tenantId, cvlanId, record: signed, recordRevision });
  await deps.changes.append(tx, cvlanId, [{ objectId: RELAY_MAP, change: { case: "relayMap", value: signed } }]);
}
