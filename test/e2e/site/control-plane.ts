import { createHash, X509Certificate } from "node:crypto";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { initCa, PROVISIONER } from "@cloudvlan/infra/step-ca/init";
import { startCa } from "@cloudvlan/infra/step-ca/start";
import { type Connection, connectTo } from "@cloudvlan/kit/client";
import { systemClock } from "@cloudvlan/kit/clock";
import type { StoreConfig } from "@cloudvlan/kit/db";
import { newId } from "@cloudvlan/kit/ids";
import { testServer, type TestServer } from "@cloudvlan/kit/testing";
import { startBalancer } from "./balancer.ts";
import { type Program, program } from "./process.ts";
import { until } from "./until.ts";

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

/** step-ca as a process that can be taken away. */
export interface SiteCa {
  start(): Promise<void>;
  kill(): void;
  stop(): Promise<void>;
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

async function startStepCa(folder: string, binary: string): Promise<SiteCa> {
  let running = await startCa(folder, binary);
  return {
    start: async () => {
      running = await startCa(folder, binary);
    },
    kill: () => void process.kill(running.pid, "SIGKILL"),
    stop: () => running.stop(),
  };
}

/**
 * step-ca, a database and workers with all services, each in a process of its own, behind a balancer.
 * @param address where the balancer listens
 */
export async function startSiteControlPlane(
  folder: string,
  address: string,
  options: ControlPlaneOptions,
  programs: { readonly node: string; readonly controlPlane: string; readonly stepCa: string },
): Promise<SiteControlPlane> {
  await using cleanup = new AsyncDisposableStack();
  const url = `https://${address}:${PORT}`;
  const cluster = newId("cluster", systemClock.nowMs());
  const caFolder = join(folder, "ca");
  const files = await initCa(caFolder, { clusterId: cluster, names: ["127.0.0.1"], address: "127.0.0.1:0" });
  const ca = await startStepCa(caFolder, programs.stepCa);
  cleanup.defer(() => ca.stop());
  const { address: caAddress } = JSON.parse(await readFile(files.config, "utf8")) as { address: string };

  const server = options.store === "postgres" ? await testServer() : undefined;
  const postgres = server && { server, url: await server.newDatabase() };
  const ownerKeyFile = join(folder, "platform-owner.key");
  const ports = Array.from({ length: options.workers }, (_, index) => FIRST_WORKER_PORT + index);
  const dataOf = (index: number): string => join(folder, `worker-${index}`);
  const workers: Program[] = [];
  cleanup.defer(async () => void (await Promise.all(workers.map((worker) => worker.end("SIGKILL")))));
  for (const [index, port] of ports.entries()) {
    const urlFile = join(folder, "database.url");
    if (postgres) await writeFile(urlFile, postgres.url, { mode: 0o600 });
    const config = {
      cluster,
      data: dataOf(index),
      url,
      listen: { address: "127.0.0.1", port, names: [address, "127.0.0.1"] },
      store: postgres ? { kind: "postgres", url_file: urlFile } : { kind: "pglite" },
      ca: {
        url: `https://${caAddress}`,
        root: files.rootPem,
        provisioner: PROVISIONER,
        provisioner_key: files.provisionerKey,
      },
      ...options.settings,
      services: { ...options.services, auth: { owner_key_file: ownerKeyFile, ...options.services?.["auth"] } },
    };
    const configFile = join(folder, `worker-${index}.yaml`);
    await writeFile(configFile, JSON.stringify(config), { mode: 0o600 });
    workers.push(
      program([programs.node, programs.controlPlane, "--config", configFile], join(folder, `worker-${index}.log`)),
    );
  }

  const root = new X509Certificate(await readFile(files.rootPem));
  const roots = [new Uint8Array(root.raw)];
  const startWorker = async (index: number): Promise<void> => {
    const worker = workers[index];
    if (!worker) throw new Error(`there is no worker ${index}`);
    if (index > 0) {
      // Workers of one installation share its master key.
      await mkdir(dataOf(index), { recursive: true, mode: 0o700 });
      await cp(join(dataOf(0), "keys"), join(dataOf(index), "keys"), { recursive: true });
    }
    const before = worker.running ? 0 : (await worker.output().catch(() => "")).length;
    await worker.start();
    await until(`worker ${index} serves`, async () => {
      const said = (await worker.output()).slice(before);
      if (!worker.running) throw new Error(`worker ${index} ended:\n${said.slice(-2_000)}`);
      return said.includes('"msg":"serving"');
    });
  };
  for (const index of ports.keys()) await startWorker(index);
  cleanup.use(await startBalancer(address, PORT, ports));
  const kept = cleanup.move();

  return {
    url,
    roots,
    caSha256: createHash("sha256").update(root.raw).digest("hex"),
    workers,
    ca,
    store: postgres
      ? { kind: "postgres", url: postgres.url, poolSize: 4 }
      : { kind: "pglite", path: join(dataOf(0), "pglite") },
    postgres,
    startWorker,
    connect: async () => connectTo(url, { roots, bearer: (await readFile(ownerKeyFile, "utf8")).trim() }),
    connectToWorker: (index, credential) =>
      connectTo(`https://127.0.0.1:${ports[index] ?? 0}`, { roots, ...credential }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
