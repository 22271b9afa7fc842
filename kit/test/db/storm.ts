// Writes without end and says each revision that was acknowledged. To be killed by the test that starts it.
import { auditLog } from "../../audit/index.ts";
import { changeStreams } from "../../changes/index.ts";
import { openStore, type StoreConfig } from "../../db/index.ts";
import type { TenantId } from "../../ids/index.ts";
import { silentLog } from "../../testing/log.ts";
import { serviceCaller, thing, thingMigrations } from "./fixture.ts";

const [config, tenantId] = JSON.parse(process.argv[2] ?? "") as [StoreConfig, TenantId];
const store = await openStore(config, silentLog);
await store.migrate("policy", thingMigrations);
const db = store.database("policy");
const changes = changeStreams({ db, service: "policy", heartbeatMs: 1000 });
const audit = auditLog("cluster_1");

for (let i = 1; ; i++) {
  const revision = await db.tenant(tenantId, async (tx) => {
    await tx.insert(thing).values({ tenantId, name: `${i}`, amount: BigInt(i), body: new Uint8Array(100) });
    const at = await changes.append(tx, "storm", [
      { objectId: `${i}`, change: { case: "node", value: new Uint8Array(100) } },
    ]);
    await audit.record(tx, serviceCaller, { action: "/storm", objectId: `${i}`, outcome: "ok" });
    return at;
  });
  process.stdout.write(`${revision}\n`);
}
