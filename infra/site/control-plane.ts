import { createHash, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type Connection, connectTo } from "@cloudvlan/kit/client";
import { type CaFiles, initCa, PROVISIONER } from "../step-ca/init.ts";
import { startCa } from "../step-ca/start.ts";
import { type Program, program } from "./process.ts";

/** What a control plane logs when it serves. */
const SERVING = "serving";

/** step-ca as a process that can be taken away. */
export interface SiteCa {
  readonly files: CaFiles;
  readonly url: string;
  /** DER. */
  readonly roots: readonly Uint8Array[];
  /** SHA-256 of the root certificate, hexadecimal. */
  readonly caSha256: string;
  start(): Promise<void>;
  kill(): void;
  stop(): Promise<void>;
}

/** Starts step-ca on a folder, which gets a new authority when it is not there yet. */
export async function startSiteCa(folder: string, clusterId: string, binary: string): Promise<SiteCa> {
  const names = ["localhost", "127.0.0.1"];
  const files = await initCa(folder, { clusterId, names, address: "127.0.0.1:0" });
  let running = await startCa(folder, binary);
  const root = new X509Certificate(await readFile(files.rootPem));
  return {
    files,
    url: running.url,
    roots: [new Uint8Array(root.raw)],
    caSha256: createHash("sha256").update(root.raw).digest("hex"),
    start: async () => {
      running = await startCa(folder, binary);
    },
    kill: () => void process.kill(running.pid, "SIGKILL"),
    stop: () => running.stop(),
  };
}

export interface WorkerSettings {
  readonly clusterId: string;
  /** Folder of what it keeps on its machine. */
  readonly data: string;
  /** Where nodes and people reach the control plane. */
  readonly url: string;
  readonly listen: { readonly address: string; readonly port: number; readonly names: readonly string[] };
  readonly store: object;
  readonly ca: Pick<SiteCa, "files" | "url">;
  /** File with the platform owner's API key, made by the first worker. */
  readonly ownerKeyFile: string;
  /** `services` of the process configuration. */
  readonly services?: Readonly<Record<string, object>>;
  /** Further keys of the process configuration. */
  readonly further?: object;
}

/** Writes the configuration of a process with all services. */
export async function writeWorkerConfig(file: string, settings: WorkerSettings): Promise<void> {
  const { clusterId, data, url, listen, store, ca, ownerKeyFile, services, further } = settings;
  const config = {
    cluster: clusterId,
    data,
    url,
    listen,
    store,
    ca: {
      url: ca.url,
      root: ca.files.rootPem,
      provisioner: PROVISIONER,
      provisioner_key: ca.files.provisionerKey,
    },
    ...further,
    services: { ...services, auth: { owner_key_file: ownerKeyFile, ...services?.["auth"] } },
  };
  // JSON is YAML.
  await writeFile(file, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 });
}

/**
 * A process with services, as a configuration says. It does not run yet. It finds the engine in its PATH: a configuration
 * outlives the folder of one build.
 */
export function workerOf(
  programs: { readonly node: string; readonly controlPlane: string; readonly engine: string },
  configFile: string,
  log: string,
): Program {
  const withEngine = ["sh", "-c", 'PATH="$0:$PATH" exec "$@"', dirname(programs.engine)];
  return program([...withEngine, programs.node, programs.controlPlane, "--config", configFile], log);
}

/** Waits until a worker has logged one of the messages, or serves. @throws Error with the end of its log */
export async function hasLogged(worker: Program, what: string, ...messages: readonly string[]): Promise<void> {
  await worker.until(what, async () => {
    const said = await worker.said();
    return [...messages, SERVING].some((message) => said.includes(`"msg":"${message}`));
  });
}

/** A connection with the platform owner's rights. */
export async function connectAsOwner(
  url: string,
  roots: readonly Uint8Array[],
  ownerKeyFile: string,
): Promise<Connection> {
  return connectTo(url, { roots, bearer: (await readFile(ownerKeyFile, "utf8")).trim() });
}
