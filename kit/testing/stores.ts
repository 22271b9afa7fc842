import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore, type Store, type StoreConfig } from "../db/index.ts";
import { silentLog } from "./log.ts";
import { testServer } from "./postgres.ts";

/** The store of a suite, open from its first `before` to its last `after`. */
export interface StoreUnderTest {
  readonly kind: StoreConfig["kind"];
  readonly store: Store;
  readonly config: StoreConfig;
  /** Opens a second worker's store: another pool on PostgreSQL; the same store on PGlite, which has one process. */
  openAgain(): Promise<Store>;
  /** Closes and opens the store again on the same data. */
  reopen(): Promise<void>;
}

/**
 * Declares a suite twice, on PGlite and on PostgreSQL, each time on an empty database.
 * Use `under.store` inside hooks and tests, not while the suite is declared.
 */
export function withStores(suite: (under: StoreUnderTest) => void): void {
  for (const kind of ["pglite", "postgres"] as const) {
    describe(`on ${kind}`, function () {
      this.timeout(120_000);
      let opened: { store: Store; config: StoreConfig; folder: string | undefined } | undefined;
      const others: Store[] = [];
      const current = (): NonNullable<typeof opened> => {
        if (!opened) throw new Error("the store is open inside hooks and tests only");
        return opened;
      };

      before(async () => {
        const made = await newConfig(kind);
        opened = { ...made, store: await openStore(made.config, silentLog) };
      });
      after(async () => {
        for (const other of others.splice(0)) await other[Symbol.asyncDispose]();
        await opened?.store[Symbol.asyncDispose]();
        if (opened?.folder !== undefined) rmSync(opened.folder, { recursive: true, force: true });
        opened = undefined;
      });

      suite({
        kind,
        get store() {
          return current().store;
        },
        get config() {
          return current().config;
        },
        openAgain: async () => {
          if (kind === "pglite") return current().store;
          const other = await openStore(current().config, silentLog);
          others.push(other);
          return other;
        },
        reopen: async () => {
          const { store, config } = current();
          await store[Symbol.asyncDispose]();
          current().store = await openStore(config, silentLog);
        },
      });
    });
  }
}

/** Configuration of a new, empty store. */
export async function newConfig(
  kind: StoreConfig["kind"],
): Promise<{ config: StoreConfig; folder: string | undefined }> {
  if (kind === "postgres") {
    const url = await (await testServer()).newDatabase();
    return { config: { kind, url, poolSize: 8 }, folder: undefined };
  }
  const folder = mkdtempSync(join(tmpdir(), "cvlan-pglite-"));
  cpSync(await template(), folder, { recursive: true });
  return { config: { kind, path: folder }, folder };
}

let templateFolder: Promise<string> | undefined;

/** Making a database takes PGlite seconds, copying one a moment. */
function template(): Promise<string> {
  templateFolder ??= (async () => {
    const folder = mkdtempSync(join(tmpdir(), "cvlan-pglite-template-"));
    process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
    const store = await openStore({ kind: "pglite", path: folder }, silentLog);
    await store[Symbol.asyncDispose]();
    if (!existsSync(join(folder, "data", "PG_VERSION"))) throw new Error("PGlite left no database behind");
    return folder;
  })();
  return templateFolder;
}
