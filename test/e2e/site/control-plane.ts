import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  connectAsOwner,
  hasLogged,
  type SiteCa,
  startSiteCa,
  workerOf,
  writeWorkerConfig,
} from "@cloudvlan/infra/site/control-plane";
import type { Program } from "@cloudvlan/infra/site/process";
import type { Programs } from "@cloudvlan/infra/start/programs";
import { type Connection, connectTo } from "@cloudvlan/kit/client";
import { systemClock } from "@cloudvlan/kit/clock";
import type { StoreConfig } from "@cloudvlan/kit/db";
import { newId } from "@cloudvlan/kit/ids";
import { testServer, type TestServer } from "@cloudvlan/kit/testing";
import { startBalancer } from "./balancer.ts";

const PORT = 8443;
const FIRST_WORKER_PORT = 9001;

export interface ControlPlaneOptions {
  readonly store: "pglite" | "postgres";
  /** Processes with all services; more than one only over PostgreSQL. */
  readonly workers: number;
  /** `services` of the process configuration. */
  readonly services?: Readonly<Record<string, object>>;
  /** Further keys of the process configuration. */
  readonly settings?: object;
}

export interface SiteControlPlane extends AsyncDisposable {
  /** Where nodes and people reach it: a balancer in front of the workers. */
  readonly url: string;
  readonly roots: readonly Uint8Array[];
  readonly caSha256: string;
  readonly workers: readonly Program[];
  readonly ca: SiteCa;
  /** What the workers open; nobody else may while a worker has the embedded one. */
  readonly store: StoreConfig;
  /** Undefined with the embedded store. */
  readonly postgres: { readonly server: TestServer; readonly url: string } | undefined;
  /** Starts a worker and waits until it serves. */
  startWorker(index: number): Promise<void>;
  /** A connection through the balancer with the platform owner's rights. */
  connect(): Promise<Connection>;
  /** A connection to one worker, past the balancer, with a bearer or a node's credential. */
  connectToWorker(index: number, credential: Omit<Parameters<typeof connectTo>[1], "roots">): Connection;
}

/**
 * step-ca, a database and workers with all services, each in a process of its own, behind a balancer.
 * @param address where the balancer listens
 */
export async function startSiteControlPlane(
  folder: string,
  address: string,
  options: ControlPlaneOptions,
  programs: Pick<Programs, "node" | "controlPlane" | "stepCa" | "engine">,
): Promise<SiteControlPlane> {
  await using cleanup = new AsyncDisposableStack();
  const url = `https://${address}:${PORT}`;
  const clusterId = newId("cluster", systemClock.nowMs());
  const ca = await startSiteCa(join(folder, "ca"), clusterId, programs.stepCa);
  cleanup.defer(() => ca.stop());

  const server = options.store === "postgres" ? await testServer() : undefined;
  const postgres = server && { server, url: await server.newDatabase() };
  const urlFile = join(folder, "database.url");
  if (postgres) await writeFile(urlFile, postgres.url, { mode: 0o600 });
  const ownerKeyFile = join(folder, "platform-owner.key");
  const ports = Array.from({ length: options.workers }, (_, index) => FIRST_WORKER_PORT + index);
  const dataOf = (index: number): string => join(folder, `worker-${index}`);
  const workers: Program[] = [];
  cleanup.defer(async () => void (await Promise.all(workers.map((worker) => worker.end("SIGKILL")))));
  for (const [index, port] of ports.entries()) {
    const configFile = join(folder, `worker-${index}.yaml`);
    await writeWorkerConfig(configFile, {
      clusterId,
      data: dataOf(index),
      url,
      listen: { address: "127.0.0.1", port, names: [address, "127.0.0.1"] },
      store: postgres ? { kind: "postgres", url_file: urlFile } : { kind: "pglite" },
      ca,
      ownerKeyFile,
      ...(options.services && { services: options.services }),
      ...(options.settings && { further: options.settings }),
    });
    workers.push(workerOf(programs, configFile, join(folder, `worker-${index}.log`)));
  }

  const startWorker = async (index: number): Promise<void> => {
    const worker = workers[index];
    if (!worker) throw new Error(`there is no worker ${index}`);
    if (index > 0) {
      // Workers of one installation share its master key.
      await mkdir(dataOf(index), { recursive: true, mode: 0o700 });
      await cp(join(dataOf(0), "keys"), join(dataOf(index), "keys"), { recursive: true });
    }
    await worker.start();
    await hasLogged(worker, `worker ${index} serves`);
  };
  for (const index of ports.keys()) await startWorker(index);
  cleanup.use(await startBalancer(address, PORT, ports));
  const kept = cleanup.move();

  return {
    url,
    roots: ca.roots,
    caSha256: ca.caSha256,
    workers,
    ca,
    store: postgres
      ? { kind: "postgres", url: postgres.url, poolSize: 4 }
      : { kind: "pglite", path: join(dataOf(0), "pglite") },
    postgres,
    startWorker,
    connect: () => connectAsOwner(url, ca.roots, ownerKeyFile),
    connectToWorker: (index, credential) =>
      connectTo(`https://127.0.0.1:${ports[index] ?? 0}`, { roots: ca.roots, ...credential }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
