import { createServer } from "node:net";
import { join } from "node:path";
import type { JWK } from "jose";
import type { Clock } from "../clock/index.ts";
import { ConfigError, type ProcessConfig, readConfigFile, readSecretFile } from "../config/index.ts";
import { openStore, type Store } from "../db/index.ts";
import type { Logger } from "../log/index.ts";
import { caClient, type CertificateAuthority } from "../ca/index.ts";

function fail(key: string, message: string): ConfigError {
  return new ConfigError("configuration", [{ position: "", key, message }]);
}

/** Opens the store that the configuration names. */
export function openProcessStore({ data, store }: ProcessConfig, log: Logger): Promise<Store> {
  if (store.kind === "pglite")
    return openStore({ kind: "pglite", path: join(data, "pglite"), template: store.template }, log);
  const url = readSecretFile(store.url_file);
  return openStore({ kind: "postgres", url, poolSize: store.pool_size }, log);
}

/** The client of step-ca, for a process that runs auth. */
export function openAuthority({ ca }: ProcessConfig, clock: Clock): CertificateAuthority {
  if (!ca) throw fail("ca", "auth runs here and needs a CA; say where step-ca is");
  if (ca.provisioner_key === undefined) throw fail("ca.provisioner_key", "auth signs requests with it; name the file");
  let provisionerKeyJwk: JWK;
  try {
    provisionerKeyJwk = JSON.parse(readSecretFile(ca.provisioner_key)) as JWK;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw fail("ca.provisioner_key", "the file is not a JSON Web Key; make the provisioner anew");
  }
  return caClient({
    url: ca.url,
    rootPem: () => readConfigFile(ca.root),
    provisionerName: ca.provisioner,
    provisionerKeyJwk,
    clock,
  });
}

/** Stands in for the CA where auth does not run: nobody else mints. */
export function noAuthority(): CertificateAuthority {
  const refuse = (): Promise<never> => Promise.reject(new Error("certificates are minted by auth alone"));
  return { roots: refuse, crossSigned: refuse, intermediates: refuse, sign: refuse };
}

/** A port that is free now, for a listener whose address has to be known before it listens. */
export async function freePort(address: string): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", reject);
    probe.listen(0, address, resolve);
  });
  const bound = probe.address();
  await new Promise<void>((resolve) => void probe.close(() => resolve()));
  if (bound === null || typeof bound === "string") throw new Error("the system chose no port");
  return bound.port;
}
