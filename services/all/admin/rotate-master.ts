import { join } from "node:path";
import { type Database, openStore, type Store, type StoreConfig } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { isId, type TenantId } from "@cloudvlan/kit/ids";
import { beginMasterRotation } from "@cloudvlan/kit/keys";
import { createLogger } from "@cloudvlan/kit/log";
import { newRekey, type Rekey } from "@cloudvlan/kit/rekey";
import { sql } from "drizzle-orm";
import { services } from "../compose.ts";
import { storeOf } from "./store.ts";
import { argumentsOf, UsageError, type Verb } from "./verb.ts";

const USAGE = "rotate-master --config FILE";

/** Replaces the master key while no worker runs; see docs/adr/0010-rotation.md. Interrupted at any point, it is run again. */
export const rotateMaster: Verb = {
  usage: USAGE,
  async run(argv) {
    const { config, words } = argumentsOf(argv, USAGE, []);
    if (words.length > 0) throw new UsageError(`usage: ${USAGE}`);
    if (Object.keys(config.endpoints).length > 0) {
      throw new UsageError(
        "services run elsewhere by this configuration; name one under which all services of the database run",
      );
    }
    const log = createLogger({ name: "cloudvlan", level: "error" });
    await using store = await openStore(aloneOn(storeOf(config)), log);
    for (const { name, migrations } of services) await store.migrate(name, migrations);
    await requireAlone(store);
    const rotation = await beginMasterRotation(join(config.data, "keys", "master"));
    let changed = 0;
    for (;;) {
      const rekey = newRekey(rotation);
      const inPass = await pass(store, rekey);
      changed += inPass;
      await requireAlone(store);
      if (inPass > 0) continue;
      await rotation.finish();
      const broken =
        rekey.broken === 0 ? "" : `; ${rekey.broken} values held under neither key and were left as they are`;
      return `${changed} rows are under a new master key, and the former one is gone${broken}. Copy keys/master to every machine that has it, start the workers, and take a backup`;
    }
  },
};

/** With one connection: whatever else is connected is a worker. */
function aloneOn(config: StoreConfig): StoreConfig {
  return config.kind === "postgres" ? { ...config, poolSize: 1 } : config;
}

/** Once through all tables of all services; each tenant's in a transaction of its own, so an end in between loses nothing. */
async function pass(store: Store, rekey: Rekey): Promise<number> {
  const tenants = await tenantsOf(store.database("auth"));
  let changed = 0;
  for (const { name, secrets = [] } of services) {
    const db = store.database(name);
    for (const table of secrets) {
      if (table.scopes.includes("platform")) changed += await db.platform((tx) => table.rekey(tx, rekey));
      if (!table.scopes.includes("tenant")) continue;
      for (const tenantId of tenants) changed += await db.tenant(tenantId, (tx) => table.rekey(tx, rekey));
    }
  }
  return changed;
}

async function tenantsOf(auth: Database): Promise<TenantId[]> {
  const { rows } = (await auth.platform((tx) => tx.execute(sql`select id from tenant order by id`))) as unknown as {
    rows: { id: unknown }[];
  };
  return rows.map(({ id }) => String(id)).filter((id) => isId("tenant", id));
}

/** @throws Refusal when a worker is connected: it would go on sealing under the former key. The embedded store has its lock. */
async function requireAlone(store: Store): Promise<void> {
  if (store.kind === "pglite") return;
  const query = sql`select count(*)::int as others from pg_stat_activity
    where datname = current_database() and application_name = 'cloudvlan' and pid <> pg_backend_pid()`;
  const { rows } = (await store.database("auth").platform((tx) => tx.execute(query))) as unknown as {
    rows: { others: number }[];
  };
  if (rows[0]?.others === 0) return;
  throw new Refusal("conflict", "WORKERS_CONNECTED", "workers of the control plane are connected to the database", {
    remedy: "stop them on every machine, then run this again",
  });
}
