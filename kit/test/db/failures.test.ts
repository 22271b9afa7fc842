import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { count, max, sql } from "drizzle-orm";
import { auditLogTable } from "../../audit/tables.ts";
import { changeStreams } from "../../changes/index.ts";
import { openStore, type StoreConfig } from "../../db/index.ts";
import { Refusal } from "../../errors/index.ts";
import { testServer } from "../../testing/postgres.ts";
import { silentLog } from "../../testing/log.ts";
import { newConfig, withStores } from "../../testing/stores.ts";
import { newTenant, noMigrations, thing, thingMigrations } from "./fixture.ts";

const unprotected = fileURLToPath(new URL("unprotected", import.meta.url));
const isUnavailable = (reason: string) => (error: unknown) =>
  error instanceof Refusal &&
  error.kind === "unavailable" &&
  error.reason === reason &&
  error.detail.remedy !== undefined;

describe("a failing database", function () {
  this.timeout(120_000);

  for (const kind of ["pglite", "postgres"] as const) {
    it(`keeps every acknowledged write of a process that is killed in a storm, on ${kind}`, async () => {
      const { config, folder } = await newConfig(kind);
      const tenantId = newTenant();
      const child = spawn(
        process.execPath,
        [fileURLToPath(new URL("storm.ts", import.meta.url)), JSON.stringify([config, tenantId])],
        {
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      let acknowledged = 0n;
      for await (const line of createInterface(child.stdout)) {
        acknowledged = BigInt(line);
        if (acknowledged === 200n) child.kill("SIGKILL");
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      assert.ok(acknowledged >= 200n);

      await using store = await openStore(config, silentLog);
      const db = store.database("policy");
      const { things, rows } = await db.tenant(tenantId, async (tx) => ({
        things: await tx.select({ n: count(), last: max(thing.amount) }).from(thing),
        rows: await tx.select({ n: count(), last: max(auditLogTable.sequence) }).from(auditLogTable),
      }));
      const { revision } = await changeStreams({ db, service: "policy", heartbeatMs: 1000 }).read(
        tenantId,
        "storm",
        0n,
      );
      assert.ok(revision >= acknowledged && revision <= acknowledged + 1n);
      const all = { n: Number(revision), last: revision };
      assert.deepEqual([things, rows], [[all], [all]]);
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });
  }

  it("is unavailable while PostgreSQL is gone, and heals with it", async () => {
    const { config } = await newConfig("postgres");
    await using store = await openStore(config, silentLog);
    await store.migrate("policy", thingMigrations);
    const db = store.database("policy");
    const tenantId = newTenant();
    let wake: ((payload: string | undefined) => void) | undefined;
    const woken = new Promise<string | undefined>((resolve) => (wake = resolve));
    await using _listening = await db.listen("policy_test", (payload) => wake?.(payload));

    const server = await testServer();
    const interrupted = db.tenant(tenantId, async (tx) => {
      await tx.insert(thing).values({ tenantId, name: "lost", amount: 1n, body: new Uint8Array() });
      await server.stop();
      await server.start();
      await tx.select().from(thing);
    });
    await assert.rejects(interrupted, isUnavailable("DATABASE_UNAVAILABLE"));
    assert.equal(await woken, undefined);
    await Promise.all(
      Array.from({ length: 20 }, async () =>
        assert.deepEqual(await db.tenant(tenantId, (tx) => tx.select().from(thing)), []),
      ),
    );
  });

  it("is unavailable, without a word of the password, where nothing listens", async () => {
    const config: StoreConfig = { kind: "postgres", url: "postgres://u:hunter2@127.0.0.1:9/db", poolSize: 2 };
    await assert.rejects(openStore(config, silentLog), (error: unknown) => {
      assert.ok(!JSON.stringify([String(error), (error as Error).stack]).includes("hunter2"));
      return isUnavailable("DATABASE_UNAVAILABLE")(error);
    });
  });

  it("is busy when a statement takes too long", async () => {
    const { config } = await newConfig("postgres");
    await using store = await openStore(config, silentLog);
    await store.migrate("policy", noMigrations);
    const slow = store.database("policy").platform(async (tx) => {
      await tx.execute(sql`set local statement_timeout = 50`);
      await tx.execute(sql`select pg_sleep(60)`);
    });
    await assert.rejects(slow, isUnavailable("DATABASE_BUSY"));
  });

  it("runs a transaction again that a deadlock ended", async () => {
    const { config } = await newConfig("postgres");
    await using store = await openStore(config, silentLog);
    await store.migrate("policy", thingMigrations);
    const db = store.database("policy");
    const tenantId = newTenant();
    for (const name of ["a", "b"]) {
      await db.tenant(tenantId, (tx) =>
        tx.insert(thing).values({ tenantId, name, amount: 0n, body: new Uint8Array() }),
      );
    }
    let runs = 0;
    const both = [0, 1].map(() => Promise.withResolvers<void>());
    const cross = (order: readonly string[], mine: number) =>
      db.tenant(tenantId, async (tx) => {
        runs++;
        for (const name of order) {
          await tx.execute(sql`update thing set amount = amount + 1 where name = ${name}`);
          both[mine]?.resolve();
          await both[1 - mine]?.promise;
        }
      });
    await Promise.all([cross(["a", "b"], 0), cross(["b", "a"], 1)]);
    assert.ok(runs >= 3);
    assert.deepEqual(await db.tenant(tenantId, (tx) => tx.select({ amount: thing.amount }).from(thing)), [
      { amount: 2n },
      { amount: 2n },
    ]);
  });

  it("is migrated by one of several first starts at a time", async () => {
    const { config } = await newConfig("postgres");
    const stores = await Promise.all(Array.from({ length: 4 }, () => openStore(config, silentLog)));
    await Promise.all(
      stores.flatMap((store) => [store.migrate("policy", thingMigrations), store.migrate("netmap", noMigrations)]),
    );
    for (const store of stores) {
      assert.deepEqual(await store.unprotectedTables("policy"), []);
      await store[Symbol.asyncDispose]();
    }
  });

  it("is refused to a second process on PGlite, until the first is dead", async () => {
    const { config, folder } = await newConfig("pglite");
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL("storm.ts", import.meta.url)), JSON.stringify([config, newTenant()])],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    await once(child.stdout, "data");
    child.stdout.resume();
    await assert.rejects(openStore(config, silentLog), (error: unknown) => {
      assert.ok(error instanceof Refusal && error.reason === "STORE_LOCKED");
      assert.match(error.message, new RegExp(`process ${child.pid}$`));
      return true;
    });
    child.kill("SIGKILL");
    await once(child, "exit");
    await using _store = await openStore(config, silentLog);
    rmSync(folder ?? "", { recursive: true, force: true });
  });

  withStores((under) => {
    it("does not start with a table of tenants that row security leaves open", async () => {
      await assert.rejects(
        under.store.migrate("auth", unprotected),
        /row security is missing on auth\.half, auth\.open;/,
      );
    });
  });

  it("tells a full disk apart and has what it had, on PGlite", async function () {
    if (process.getuid?.() !== 0) this.skip(); // Only root mounts a small disk.
    const { config, folder } = await newConfig("pglite");
    assert.ok(config.kind === "pglite" && folder !== undefined);
    const disk = join(folder, "disk");
    mkdirSync(disk);
    const program = fileURLToPath(new URL("full-disk.ts", import.meta.url));
    // The mount lives in a namespace of the child's own, and dies with it.
    const script = 'mount -t tmpfs -o size=90m tmpfs "$1" && cp -a "$2/data" "$1/data" && exec "$3" "$4" "$1"';
    const child = spawn("unshare", ["-m", "sh", "-c", script, "sh", disk, folder, process.execPath, program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines: string[] = [];
    for await (const line of createInterface(child.stdout)) lines.push(line);
    rmSync(folder, { recursive: true, force: true });
    assert.deepEqual(lines, ["refused STORAGE_FULL", "still reads", "works again", "every acknowledged row is there"]);
  });
});
