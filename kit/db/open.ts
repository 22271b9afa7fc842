import type { Logger } from "../log/index.ts";
import type { Store, StoreConfig } from "./index.ts";

/**
 * Opens a store and sees that it can be used.
 * @throws Refusal `unavailable` when the database does not answer, `conflict` when another process has the embedded one open.
 */
export async function openStore(config: StoreConfig, log: Logger): Promise<Store> {
  // Loaded on demand: PGlite is 25 MB of WebAssembly that a process on PostgreSQL never needs.
  if (config.kind === "pglite") return (await import("./pglite.ts")).openPglite(config.path, config.template, log);
  return (await import("./postgres.ts")).openPostgres(config.url, config.poolSize, log);
}
