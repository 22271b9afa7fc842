import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { systemClock } from "@cloudvlan/kit/clock";
import { readSecretFile } from "@cloudvlan/kit/config";
import { openStore } from "@cloudvlan/kit/db";
import { createLogger } from "@cloudvlan/kit/log";
import { archiveWriter, type Entry, FORMAT } from "./archive-file.ts";
import { writeEncrypted } from "./encrypted.ts";
import { ownMigrations } from "./migrations.ts";
import { ARCHIVED, clusterOf, storeOf } from "./store.ts";
import { argumentsOf, UsageError, type Verb } from "./verb.ts";

const USAGE = "backup --config FILE --to FILE --passphrase-file FILE [--authority DIR]";

/** Bytes of a file of the installation; keys and certificates are smaller. */
const MAX_FILE_BYTES = 65_536;

/**
 * Everything that an installation is: rows of every service as one moment, the master key, with --authority the authority. On PostgreSQL
 * the workers may go on; the embedded store is open in one process, so the control plane is stopped meanwhile.
 */
export const backup: Verb = {
  usage: USAGE,
  async run(argv) {
    const { config, options } = argumentsOf(argv, USAGE, ["to", "passphrase-file", "authority"]);
    const { to, "passphrase-file": passphraseFile, authority: ca } = options;
    if (to === undefined || passphraseFile === undefined) throw new UsageError(`usage: ${USAGE}`);
    const passphrase = readSecretFile(passphraseFile);
    const cluster = clusterOf(config);
    if (cluster === undefined)
      throw new UsageError(`${config.data} holds no installation yet; start the control plane`);
    const files = [
      ...(await filesOf(join(config.data, "keys"), "keys", (name) => name === "master")),
      ...(ca === undefined ? [] : await filesOf(ca, "ca", (name) => /\.(pem|key|json|jwk)$/.test(name))),
    ];

    await using store = await openStore(storeOf(config), createLogger({ name: "cloudvlan", level: "error" }));
    const made_at = new Date(systemClock.nowMs()).toISOString();
    const writer = archiveWriter({ format: FORMAT, cluster, made_at, migrations: await ownMigrations() });
    let rows = 0;
    await writeEncrypted(to, passphrase, async (out) => {
      await put(out, writer.head);
      for (const file of files) await put(out, writer.line(file));
      await store.dump(ARCHIVED, async (row) => {
        rows += 1;
        await put(out, writer.line({ row }));
      });
      await put(out, writer.end());
    });
    const authority = ca === undefined ? "; the certificate authority is not in it (--authority)" : "";
    return `${to}: ${rows} rows and ${files.length} files of ${cluster}${authority}`;
  },
};

async function filesOf(folder: string, prefix: string, isWanted: (name: string) => boolean): Promise<Entry[]> {
  const names = (await readdir(folder)).filter(isWanted).toSorted();
  return await Promise.all(
    names.map(async (name) => {
      const content = await readFile(join(folder, name));
      if (content.length > MAX_FILE_BYTES) throw new UsageError(`${join(folder, name)} is no key and no certificate`);
      return { file: `${prefix}/${name}`, content };
    }),
  );
}

/** Waits for whoever reads when they are slower. */
async function put(out: Writable, text: string): Promise<void> {
  if (out.write(text)) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  out.once("drain", resolve).once("error", reject);
  await promise;
  out.removeListener("error", reject);
}
