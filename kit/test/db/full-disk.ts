// Fills a small disk through a store, and says what it is told and what is left once there is space again.
import { randomBytes } from "node:crypto";
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { count } from "drizzle-orm";
import { openStore } from "../../db/index.ts";
import { Refusal } from "../../errors/index.ts";
import { silentLog } from "../../testing/log.ts";
import { newTenant, thing, thingMigrations } from "./fixture.ts";

const path = process.argv[2] ?? "";
const tenantId = newTenant();
const ballast = join(path, "ballast");
let written = 0;
{
  const store = await openStore({ kind: "pglite", path }, silentLog);
  await store.migrate("policy", thingMigrations);
  const { bsize, bavail } = statfsSync(path);
  writeFileSync(ballast, Buffer.alloc(Math.max(0, bsize * bavail - 36_000_000)));
  const db = store.database("policy");
  try {
    for (;;) {
      await db.tenant(tenantId, (tx) =>
        tx.insert(thing).values({ tenantId, name: `${written}`, amount: 1n, body: randomBytes(100_000) }),
      );
      written++;
    }
  } catch (error) {
    console.log(error instanceof Refusal ? `refused ${error.reason}` : error);
  }
  const [full] = await db.tenant(tenantId, (tx) => tx.select({ n: count() }).from(thing));
  console.log(full?.n === written ? "still reads" : `${full?.n} of ${written} rows`);
  rmSync(ballast);
  await db.tenant(tenantId, (tx) =>
    tx.insert(thing).values({ tenantId, name: "later", amount: 1n, body: new Uint8Array() }),
  );
  written++;
  console.log("works again");
  await Promise.resolve(store[Symbol.asyncDispose]()).catch((error: unknown) => console.error(error));
}
await using again = await openStore({ kind: "pglite", path }, silentLog);
const [row] = await again.database("policy").tenant(tenantId, (tx) => tx.select({ n: count() }).from(thing));
console.log(row && row.n >= written ? "every acknowledged row is there" : `${row?.n} of ${written} rows`);
