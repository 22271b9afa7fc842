import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ProcessConfig, readConfigFile, readSecretFile } from "@cloudvlan/kit/config";
import type { ArchiveScope, StoreConfig } from "@cloudvlan/kit/db";
import { services } from "../compose.ts";

/** Every service; auth has the tenants. */
export const ARCHIVED: ArchiveScope = {
  services: services.map(({ name }) => name),
  tenants: { service: "auth", table: "tenant", column: "id" },
};

/** The store of a configuration. @throws ConfigError for a secret that others may read */
export function storeOf({ store, data }: ProcessConfig): StoreConfig {
  if (store.kind === "pglite") return { kind: "pglite", path: join(data, "pglite"), template: store.template };
  return { kind: "postgres", url: readSecretFile(store.url_file), poolSize: store.pool_size };
}

/** The cluster id of an installation; undefined before its first start. @throws ConfigError when its file cannot be read */
export function clusterOf({ cluster, data }: ProcessConfig): string | undefined {
  if (cluster !== undefined) return cluster;
  const file = join(data, "cluster");
  return existsSync(file) ? readConfigFile(file).trim() : undefined;
}
