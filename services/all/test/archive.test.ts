import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@cloudvlan/kit/config";
import { openStore } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { newId } from "@cloudvlan/kit/ids";
import { fileKeyProvider } from "@cloudvlan/kit/keys";
import { silentLog, testServer } from "@cloudvlan/kit/testing";
import { sql } from "drizzle-orm";
import { archiveWriter, FORMAT } from "../admin/archive-file.ts";
import { backup } from "../admin/backup.ts";
import { writeEncrypted } from "../admin/encrypted.ts";
import { ownMigrations } from "../admin/migrations.ts";
import { restore } from "../admin/restore.ts";
import { UsageError } from "../admin/verb.ts";
import { services } from "../compose.ts";

const PASSPHRASE = "correct horse battery staple";
const REGIONS = ["eu-west", "us-east"];

interface Place {
  readonly data: string;
  readonly config: string;
  readonly cluster: string;
}

describe("a backup", function () {
  this.timeout(180_000);
  let folder: string;
  let passphrase: string;
  let from: Place;
  let file: string;

  /** Configuration of an installation; PostgreSQL when a URL is given. */
  function place(name: string, cluster: string, url?: string): Place {
    const [data, config] = [join(folder, name), join(folder, `${name}.yaml`)];
    if (url !== undefined) writeFileSync(join(folder, `${name}.url`), url, { mode: 0o600 });
    const store = url === undefined ? { kind: "pglite" } : { kind: "postgres", url_file: join(folder, `${name}.url`) };
    const listen = { address: "127.0.0.1", port: 0, names: ["localhost"] };
    writeFileSync(config, JSON.stringify({ cluster, data, url: "https://localhost:1", listen, store }));
    return { data, config, cluster };
  }
  const make = (at: Place, to: string, ...more: string[]) =>
    backup.run(["--config", at.config, "--to", to, "--passphrase-file", passphrase, ...more]);
  const put = (at: Place, source: string, ...more: string[]) =>
    restore.run(["--config", at.config, "--from", source, "--passphrase-file", passphrase, ...more]);
  const reasonOf = (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => "let through",
      (error: unknown) => {
        if (error instanceof Refusal) return error.reason;
        throw error;
      },
    );
  async function regionsOf(at: Place, url?: string): Promise<string[]> {
    const kind = url === undefined ? { kind: "pglite" as const, path: join(at.data, "pglite") } : undefined;
    await using store = await openStore(kind ?? { kind: "postgres", url: url ?? "", poolSize: 2 }, silentLog);
    return await store.database("registry").platform(async (tx) => {
      const found = (await tx.execute(sql`select name from region order by name`)) as unknown as {
        rows: { name: string }[];
      };
      return found.rows.map(({ name }) => name);
    });
  }

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "cvlan-archive-"));
    passphrase = join(folder, "passphrase");
    writeFileSync(passphrase, PASSPHRASE, { mode: 0o600 });
    file = join(folder, "backup.age");
    from = place("from", newId("cluster", Date.now()));
    await fileKeyProvider(join(from.data, "keys", "master"));
    await using store = await openStore({ kind: "pglite", path: join(from.data, "pglite") }, silentLog);
    for (const { name, migrations } of services) await store.migrate(name, migrations);
    await store.database("registry").platform(async (tx) => {
      for (const name of REGIONS) {
        const now = new Date().toISOString();
        await tx.execute(
          sql`insert into region (id, name, display_name, created_at, created_by) values (${newId("region", Date.now())}, ${name}, '', ${now}, 'test')`,
        );
      }
    });
  });
  before("made", async () => assert.match(await make(from, file), /rows and 1 files of cluster_/));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("is for its owner alone, shows nothing, and never replaces a file", async () => {
    const bytes = readFileSync(file);
    assert.ok(!bytes.includes("eu-west") && !bytes.includes(from.cluster));
    assert.equal(await reasonOf(make(from, file)), "BACKUP_UNREADABLE");
    assert.deepEqual(readFileSync(file), bytes);
  });
  it("comes back on the other kind of store and from there, and sets an embedded database aside that is there", async () => {
    const url = await (await testServer()).newDatabase();
    const postgres = place("postgres", from.cluster, url);
    assert.match(await put(postgres, file), /rows of cluster_/);
    assert.deepEqual(await regionsOf(postgres, url), REGIONS);
    assert.deepEqual(readFileSync(join(postgres.data, "keys/master")), readFileSync(join(from.data, "keys/master")));
    assert.equal(await reasonOf(put(postgres, file)), "STORE_NOT_EMPTY");
    const again = join(folder, "again.age");
    await make(postgres, again);
    assert.match(await put(from, again), /the former database is .*pglite\.before-restore-\d+/);
    assert.deepEqual(await regionsOf(from), REGIONS);
  });

  describe("is refused, and nothing changes,", () => {
    let target: Place;
    let url: string;
    let master: Buffer;
    before(async () => {
      url = await (await testServer()).newDatabase();
      target = place("target", from.cluster, url);
      await put(target, file);
      master = readFileSync(join(target.data, "keys/master"));
    });
    afterEach(async () => {
      assert.deepEqual(await regionsOf(target, url), REGIONS);
      assert.deepEqual(readFileSync(join(target.data, "keys/master")), master);
    });

    it("with another passphrase, cut short, or with a flipped bit", async () => {
      const bytes = readFileSync(file);
      const flipped = Buffer.from(bytes);
      flipped[bytes.length - 20] = (flipped[bytes.length - 20] ?? 0) ^ 1;
      const damaged: Readonly<Record<string, Buffer>> = {
        cut: bytes.subarray(0, -30),
        flipped,
        empty: Buffer.alloc(0),
      };
      for (const [name, content] of Object.entries(damaged)) {
        writeFileSync(join(folder, name), content);
        assert.equal(await reasonOf(put(target, join(folder, name))), "BACKUP_UNREADABLE", name);
      }
      writeFileSync(passphrase, "another", { mode: 0o600 });
      assert.equal(await reasonOf(put(target, file)), "BACKUP_UNREADABLE");
      writeFileSync(passphrase, PASSPHRASE, { mode: 0o600 });
    });
    it("of another installation", async () => {
      const foreign = place("target", newId("cluster", Date.now()), url);
      assert.equal(await reasonOf(put(foreign, file)), "BACKUP_FOREIGN");
      place("target", from.cluster, url);
    });
    it("of a newer or an older version, or without its end", async () => {
      const own = await ownMigrations();
      const header = { format: FORMAT, cluster: from.cluster, made_at: new Date().toISOString(), migrations: own };
      const made: Readonly<Record<string, { header: typeof header; end: boolean }>> = {
        BACKUP_NEWER: {
          header: { ...header, migrations: { ...own, policy: [...(own["policy"] ?? []), "9999_later"] } },
          end: true,
        },
        BACKUP_OLDER: { header: { ...header, migrations: { ...own, policy: [] } }, end: true },
        BACKUP_CORRUPT: { header, end: false },
      };
      for (const [reason, { header: first, end }] of Object.entries(made)) {
        const path = join(folder, `${reason}.age`);
        const writer = archiveWriter(first);
        await writeEncrypted(path, PASSPHRASE, (out) => {
          out.write(writer.head);
          out.write(writer.line({ file: "keys/master", content: master }));
          if (end) out.write(writer.end());
          return Promise.resolve();
        });
        assert.equal(await reasonOf(put(target, path)), reason);
      }
      const future = join(folder, "future.age");
      await writeEncrypted(future, PASSPHRASE, (out) => Promise.resolve(void out.write(`{"format":${FORMAT + 1}}\n`)));
      assert.equal(await reasonOf(put(target, future)), "BACKUP_NEWER");
    });
    it("when the master key here is another one, or others may read the passphrase", async () => {
      const path = join(target.data, "keys/master");
      copyFileSync(path, `${path}.kept`);
      writeFileSync(path, Buffer.alloc(32, 7));
      assert.equal(await reasonOf(put(target, file)), "MASTER_KEY_DIFFERS");
      copyFileSync(`${path}.kept`, path);
      chmodSync(passphrase, 0o644);
      await assert.rejects(put(target, file), ConfigError);
      chmodSync(passphrase, 0o600);
    });
    it("when it is asked wrongly", async () => {
      await assert.rejects(restore.run(["--config", target.config]), UsageError);
      await assert.rejects(restore.run(["--nothing"]), UsageError);
      assert.equal(await reasonOf(put(target, file, "--authority", folder)), "BACKUP_WITHOUT_CA");
    });
  });
});
