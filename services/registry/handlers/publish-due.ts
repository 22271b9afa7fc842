import { setTimeout as sleep } from "node:timers/promises";
import type { Tx } from "@cloudvlan/kit/db";
import { isId, type TenantId } from "@cloudvlan/kit/ids";
import type { RoleKey } from "@cloudvlan/kit/sign";
import type { RegistryDeps } from "../deps.ts";
import { requireCvlan } from "../store/cvlans.ts";
import { continueFanOut, type Due, listDue, listRelayDue, PUBLICATIONS, takeDue } from "../store/publications.ts";
import { publishCvlan } from "./publish-cvlan.ts";
import { publishRelayMap } from "./publish-relay-map.ts";

/** Cvlans taken up at once. */
const BATCH = 100;
/** Cvlans that a change of a layer puts on the list in one transaction. */
const FAN_OUT = 500;
/** Milliseconds between looks without being woken. */
const LOOK_MS = 10_000;

/** One reason for which cvlans are to be published, and what is done for one of them that is still due, in a transaction of its tenant. */
interface Work {
  readonly list: (tx: Tx, limit: number, skip: number) => Promise<Due[]>;
  readonly publish: (deps: RegistryDeps, tx: Tx, key: RoleKey, tenantId: TenantId, cvlanId: string) => Promise<void>;
}

const WORKS: readonly Work[] = [
  {
    list: listDue,
    publish: async (deps, tx, key, tenantId, cvlanId) => {
      if (!(await takeDue(tx, cvlanId))) return;
      await publishCvlan(deps, tx, key, await requireCvlan(tx, deps.seals, tenantId, cvlanId));
    },
  },
  { list: listRelayDue, publish: publishRelayMap },
];

/** Publishes what is due, until the signal aborts. */
export async function publishDue(deps: RegistryDeps, signal: AbortSignal): Promise<void> {
  let pause = new AbortController();
  await using _listening = await deps.db.listen(PUBLICATIONS, () => pause.abort());
  while (!signal.aborted) {
    pause = new AbortController();
    while (!signal.aborted && (await deps.db.platform((tx) => continueFanOut(tx, FAN_OUT)))) continue;
    for (const work of WORKS) await publishAll(deps, work, signal);
    await sleep(LOOK_MS, undefined, { signal: AbortSignal.any([signal, pause.signal]) }).catch(() => undefined);
  }
}

async function publishAll(deps: RegistryDeps, work: Work, signal: AbortSignal): Promise<void> {
  // Those that fail stay listed, and are passed over so that they keep nobody waiting.
  for (let failed = 0; ;) {
    const skip = failed;
    const due = await deps.db.platform((tx) => work.list(tx, BATCH, skip));
    for (const each of due) {
      if (signal.aborted) return;
      if (!(await publishOne(deps, work, each))) failed++;
    }
    if (due.length < BATCH) return;
  }
}

async function publishOne(deps: RegistryDeps, { publish }: Work, { cvlanId, owner }: Due): Promise<boolean> {
  if (!isId("tenant", owner)) {
    deps.log.error({ object_id: cvlanId }, "a cvlan to be published names no tenant; it is left alone");
    return false;
  }
  try {
    await deps.enrolKeys.signing(owner, (tx, key) => publish(deps, tx, key, owner, cvlanId));
    return true;
  } catch (error) {
    deps.log.warn({ error, tenant_id: owner, cvlan_id: cvlanId }, "a cvlan is not published yet; it is tried again");
    return false;
  }
}
