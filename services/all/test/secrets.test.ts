import assert from "node:assert/strict";
import type { Tx } from "@cloudvlan/kit/db";
import { openStore } from "@cloudvlan/kit/db";
import type { Rekey } from "@cloudvlan/kit/rekey";
import { silentLog, testServer } from "@cloudvlan/kit/testing";
import { getTableName, sql } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import { services } from "../compose.ts";

/** Every service has kit's tables; auth delegates keys and is delegated none. */
const UNUSED: ReadonlySet<string> = new Set(["auth.signing_key"]);

/** Nothing is read, so nothing is remade. */
const REKEY: Rekey = { broken: 0, seal: () => undefined, secret: () => Promise.resolve(undefined) };

/** A transaction on empty tables that notes which of them are read. */
function noting(read: Set<string>): Tx {
  const from = (table: PgTable) => {
    read.add(getTableName(table));
    return Promise.resolve([]);
  };
  return { select: () => ({ from }) } as unknown as Tx;
}

describe("the secrets of each service", function () {
  this.timeout(120_000);

  it("are all its tables with a seal or a wrapped key: one that is forgotten is lost with the former master key", async () => {
    const config = { kind: "postgres" as const, url: await (await testServer()).newDatabase(), poolSize: 2 };
    await using store = await openStore(config, silentLog);
    let sealed = 0;
    for (const { name, migrations, secrets = [] } of services) {
      await store.migrate(name, migrations);
      const { rows } = (await store.database(name).platform((tx) =>
        tx.execute(sql`select distinct table_name as name from information_schema.columns
          where table_schema = ${name} and data_type = 'bytea' and column_name ~ '(^|_)seal$|seed$|^wrapped_'`),
      )) as unknown as { rows: { name: string }[] };
      const read = new Set<string>();
      for (const table of secrets) await table.rekey(noting(read), REKEY);
      const forgotten = rows
        .map((row) => row.name)
        .filter((table) => !read.has(table) && !UNUSED.has(`${name}.${table}`));
      assert.deepEqual(forgotten, [], name);
      sealed += rows.length;
    }
    assert.ok(sealed > 15, `only ${sealed} tables were found`);
  });
});
