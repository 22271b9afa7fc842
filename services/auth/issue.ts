import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ServiceName } from "@cloudvlan/kit/caller";
import { systemClock } from "@cloudvlan/kit/clock";
import {
  ConfigError,
  loadProcessConfig,
  type ProcessConfig,
  readConfigFile,
  readSecretFile,
} from "@cloudvlan/kit/config";
import { Refusal } from "@cloudvlan/kit/errors";
import { caClient } from "@cloudvlan/kit/ca";
import { replaceWhole } from "@cloudvlan/kit/files";
import { createCsr, formatSpiffe, newTlsKey, pemOf } from "@cloudvlan/kit/pki";
import * as z from "zod";
import { config as authConfig } from "./config.ts";

const USAGE = "usage: node services/auth/issue.ts --config FILE --service auth|registry|policy|netmap --out DIR";
const SERVICES: readonly ServiceName[] = ["auth", "registry", "policy", "netmap"];
/** Only auth's part of the configuration is read here. */
const SCHEMAS = { auth: authConfig, registry: z.unknown(), policy: z.unknown(), netmap: z.unknown() };
const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;

/** What is wrong with how the command was called. */
class UsageError extends Error {}

/**
 * Makes the identity of a service that runs in a process of its own: key, certificate and roots, for its place
 * under `identities` in that process's configuration. Run on the machine that holds the provisioner key; the service renews by itself afterwards.
 * @param out folder, made with mode 0700; an identity that lies there already is not touched.
 * @returns paths of the three files.
 */
export async function issueIdentity(settings: ProcessConfig, service: ServiceName, out: string): Promise<string[]> {
  const { ca, cluster, data } = settings;
  if (ca?.provisioner_key === undefined) throw new UsageError("the configuration has no ca.provisioner_key");
  const { service_names: names, service_certificate_ttl_seconds: ttl } = authConfig.parse(settings.services.auth ?? {});
  const trustDomain = cluster ?? readConfigFile(join(data, "cluster")).trim();
  const authority = caClient({
    url: ca.url,
    rootPem: () => readConfigFile(ca.root),
    provisionerName: ca.provisioner,
    provisionerKeyJwk: JSON.parse(readSecretFile(ca.provisioner_key)) as object,
    clock: systemClock,
  });
  const files = { key: join(out, "key.pem"), certificate: join(out, "certificate.pem"), roots: join(out, "roots.pem") };
  if (await exists(files.key)) throw new UsageError(`${files.key} exists; name another folder or move it away`);
  await mkdir(out, { recursive: true, mode: 0o700 });

  const key = newTlsKey();
  const { chain } = await authority.sign(
    await createCsr(key),
    formatSpiffe({ trustDomain, kind: "service", name: service }),
    names[service] ?? [],
    ttl,
  );
  await replaceWhole(files.roots, pemOf(await authority.roots()));
  await replaceWhole(files.certificate, pemOf(chain));
  await replaceWhole(files.key, key);
  return Object.values(files);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

function argumentsOf(argv: readonly string[]): { config: string; service: ServiceName; out: string } {
  const text = { type: "string" } as const;
  const options = { config: text, service: text, out: text };
  const { config, service: name, out } = readOptions(() => parseArgs({ args: [...argv], options }).values);
  const service = SERVICES.find((known) => known === name);
  if (config === undefined || out === undefined || service === undefined) throw new UsageError(USAGE);
  return { config, service, out };
}

function readOptions<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`, { cause: error });
  }
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    const { config, service, out } = argumentsOf(argv);
    for (const path of await issueIdentity(loadProcessConfig(config, SCHEMAS), service, out))
      process.stdout.write(`${path}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof ConfigError || error instanceof Refusal)) throw error;
    const remedy = error instanceof Refusal && error.detail.remedy ? `; ${error.detail.remedy}` : "";
    process.stderr.write(`${error.message}${remedy}\n`);
    return error instanceof Refusal ? EX_UNAVAILABLE : EX_USAGE;
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
