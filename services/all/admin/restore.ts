import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { systemClock } from "@cloudvlan/kit/clock";
import { type ProcessConfig, readSecretFile } from "@cloudvlan/kit/config";
import { type ArchivedRow, openStore, type StoreConfig } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { createWhole } from "@cloudvlan/kit/files";
import { fileKeyProvider } from "@cloudvlan/kit/keys";
import { createLogger } from "@cloudvlan/kit/log";
import { services } from "../compose.ts";
import { type Entry, entriesOf, type Header, readHeader } from "./archive-file.ts";
import { readEncrypted } from "./encrypted.ts";
import { ownMigrations } from "./migrations.ts";
import { restoredRow } from "./restored.ts";
import { ARCHIVED, clusterOf, storeOf } from "./store.ts";
import { argumentsOf, UsageError, type Verb } from "./verb.ts";

const USAGE = "restore --config FILE --from FILE --passphrase-file FILE [--authority DIR]";
const MASTER = "keys/master";

/** What a backup holds besides rows. */
interface Contents {
  readonly header: Header;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/**
 * Puts a backup in the place of what is lost. The whole file is read and checked before anything changes; rows go in all or
 * none. An embedded database that is there is set aside, one of PostgreSQL has to be empty. What the data folder knows
 * besides stays: its journal of denials keeps nodes out that were deleted after the backup.
 */
export const restore: Verb = {
  usage: USAGE,
  async run(argv) {
    const { config, options } = argumentsOf(argv, USAGE, ["from", "passphrase-file", "authority"]);
    const { from, "passphrase-file": passphraseFile, authority: ca } = options;
    if (from === undefined || passphraseFile === undefined) throw new UsageError(`usage: ${USAGE}`);
    const passphrase = readSecretFile(passphraseFile);
    const { header, files } = await checked(() => readEncrypted(from, passphrase));
    await requireFitting(config, header, files, ca);

    await placeKeys(config, header, files, ca);
    const target = storeOf(config);
    const aside = await setAside(target);
    const rows = await loadRows(config, target, () => readEncrypted(from, passphrase)).catch(async (error: unknown) => {
      await putBack(target, aside);
      throw error;
    });
    const former = aside === undefined ? "" : `; the former database is ${aside}`;
    return `${rows} rows of ${header.cluster}, as of ${header.made_at}${former}. Start the control plane; nodes come back by themselves`;
  },
};

/** Reads a backup to its end. */
async function checked(read: () => AsyncIterable<string>): Promise<Contents> {
  let header: Header | undefined;
  const files = new Map<string, Uint8Array>();
  async function* lines(): AsyncIterable<string> {
    for await (const text of read()) {
      header ??= readHeader(text);
      yield text;
    }
  }
  for await (const entry of entriesOf(lines())) if ("file" in entry) files.set(entry.file, entry.content);
  if (!header) throw new Error("entriesOf ended without a line");
  return { header, files };
}

function refused(reason: string, message: string, remedy: string): Refusal {
  return new Refusal("conflict", reason, message, { remedy: `${remedy}; nothing was changed` });
}

/** @throws Refusal when the backup is not of this installation, this version, or would overwrite what differs. */
async function requireFitting(
  config: ProcessConfig,
  { cluster, migrations }: Header,
  files: Contents["files"],
  ca: string | undefined,
): Promise<void> {
  const here = clusterOf(config);
  if (here !== undefined && here !== cluster) {
    throw refused(
      "BACKUP_FOREIGN",
      `the backup is of ${cluster}, this is ${here}`,
      "use the backup of this installation",
    );
  }
  const own = await ownMigrations();
  for (const { name } of services) {
    const [mine, theirs] = [own[name] ?? [], migrations[name] ?? []];
    const unknown = theirs.find((tag) => !mine.includes(tag));
    if (unknown !== undefined) {
      const message = `the backup is of a newer version (${name}: ${unknown})`;
      throw refused("BACKUP_NEWER", message, "install the version that made it");
    }
    const missing = mine.find((tag) => !theirs.includes(tag));
    if (missing !== undefined) {
      const message = `the backup is of an older version (${name} had no ${missing})`;
      throw refused("BACKUP_OLDER", message, "restore it with the version that made it, then upgrade");
    }
  }
  const master = join(config.data, MASTER);
  const kept = files.get(MASTER);
  if (!kept) throw refused("BACKUP_CORRUPT", "the backup holds no master key", "use another backup");
  if (existsSync(master) && !(await readFile(master)).equals(kept)) {
    const remedy = "restore into an empty data folder, or take a backup after each rotation of the master key";
    throw refused("MASTER_KEY_DIFFERS", `${master} is not the master key of the backup`, remedy);
  }
  if (ca === undefined) return;
  if (![...files.keys()].some((name) => name.startsWith("ca/"))) {
    throw refused("BACKUP_WITHOUT_CA", "the backup holds no certificate authority", "leave out --authority");
  }
  if (existsSync(ca) && (await readdir(ca)).length > 0) {
    throw refused("CA_NOT_EMPTY", `${ca} holds files`, "name an empty folder with --authority, or leave it out");
  }
}

async function placeKeys(
  { data }: ProcessConfig,
  { cluster }: Header,
  files: Contents["files"],
  ca: string | undefined,
): Promise<void> {
  await mkdir(join(data, "keys"), { recursive: true, mode: 0o700 });
  await createWhole(join(data, "cluster"), `${cluster}\n`);
  for (const [name, content] of files) {
    if (name === MASTER) await createWhole(join(data, MASTER), content);
    if (ca === undefined || !name.startsWith("ca/")) continue;
    await mkdir(ca, { recursive: true, mode: 0o700 });
    await createWhole(join(ca, basename(name)), content);
  }
}

/** Makes room for an embedded database. @returns where the former one is. */
async function setAside(target: StoreConfig): Promise<string | undefined> {
  if (target.kind !== "pglite" || !existsSync(target.path)) return undefined;
  const aside = `${target.path}.before-restore-${systemClock.nowMs()}`;
  await rename(target.path, aside);
  return aside;
}

/** An embedded database that was not restored goes; the one before comes back. */
async function putBack(target: StoreConfig, aside: string | undefined): Promise<void> {
  if (target.kind !== "pglite") return;
  await rm(target.path, { recursive: true, force: true });
  if (aside !== undefined) await rename(aside, target.path);
}

async function loadRows(
  { data }: ProcessConfig,
  target: StoreConfig,
  read: () => AsyncIterable<string>,
): Promise<number> {
  const keys = await fileKeyProvider(join(data, MASTER));
  const nowMs = systemClock.nowMs();
  async function* rows(entries: AsyncIterable<Entry>): AsyncIterable<ArchivedRow> {
    for await (const entry of entries) {
      const row = "row" in entry ? await restoredRow(entry.row, keys, nowMs) : undefined;
      if (row) yield row;
    }
  }
  await using store = await openStore(target, createLogger({ name: "cloudvlan", level: "error" }));
  for (const { name, migrations } of services) await store.migrate(name, migrations);
  return await store.load(ARCHIVED, rows(entriesOf(read())));
}
