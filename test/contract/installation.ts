import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { services } from "@cloudvlan/all";
import { programsOf } from "@cloudvlan/infra/start/programs";
import { pathOf } from "@cloudvlan/kit/access";
import type { ServiceName } from "@cloudvlan/kit/caller";
import { type Connection, connectTo } from "@cloudvlan/kit/client";
import { type ProcessConfig, processConfigSchema } from "@cloudvlan/kit/config";
import { openStore, type Store, type StoreConfig } from "@cloudvlan/kit/db";
import { newId } from "@cloudvlan/kit/ids";
import { type Peer, peerKey } from "@cloudvlan/kit/interceptors";
import { type Logger } from "@cloudvlan/kit/log";
import { certificatesOf, formatSpiffe, type SpiffeId } from "@cloudvlan/kit/pki";
import { compose, type Composition, type ServiceContext, type ServiceDefinition } from "@cloudvlan/kit/service";
import { type ConnectRouter, createContextValues, createRouterTransport, type Transport } from "@connectrpc/connect";
import { sharedCa, type SharedCa } from "./ca.ts";
import type { Credential, Validity } from "./certificates.ts";
import { newConfig, testServer } from "@cloudvlan/kit/testing";

/** One line of the installation's log. */
export interface Line {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

function recordingLog(lines: Line[], inherited: object = {}): Logger {
  const at = (level: Line["level"]) => (fields: object, message: string) =>
    void lines.push({ level, fields: { ...inherited, ...fields }, message });
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => recordingLog(lines, { ...inherited, ...fields }),
  };
}

/** The whole control plane: four services, a real store, a real CA, one listener. */
export interface Installation {
  readonly kind: StoreConfig["kind"];
  readonly url: string;
  readonly port: number;
  readonly clusterId: string;
  /** DER. */
  readonly roots: readonly Uint8Array[];
  /** The platform owner's API key. */
  readonly ownerKey: string;
  /** Everything logged so far. */
  readonly lines: readonly Line[];
  readonly store: Store;
  /** Folder of the process. */
  readonly data: string;
  readonly storeConfig: StoreConfig;
  /** Paths of the RPCs that the listener serves as ready-made frames. */
  readonly framed: ReadonlySet<string>;
  /** What the composer handed to a service: its database, its keys, its clients. */
  context(service: ServiceName): ServiceContext<unknown>;
  /** gRPC over TCP with TLS, without a credential. */
  anonymous(): Connection;
  person(apiKey: string): Connection;
  /** gRPC over TCP with mutual TLS. */
  holder(credential: Credential): Connection;
  /** A certificate of this installation's CA for any identity of it. */
  certify(spiffe: WithoutDomain, validity?: Validity): Promise<Credential>;
  /** Straight into the handlers of all services, as if that peer had connected: no socket, every interceptor. */
  inProcess(peer: Peer): Transport;
  /** Runs a statement that passes by every rule of the database; PostgreSQL alone. */
  asSuperuser(statement: string): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

export type WithoutDomain = SpiffeId extends infer S ? (S extends SpiffeId ? Omit<S, "trustDomain"> : never) : never;

export interface InstallationOptions {
  readonly kind: StoreConfig["kind"];
  /** Parts of the process configuration. */
  readonly config?: Partial<Record<Exclude<keyof ProcessConfig, "services">, unknown>> & {
    readonly services?: Readonly<Record<string, object>>;
  };
  /** Another worker on the store, with the keys and the cluster of this installation. It is closed first. */
  readonly beside?: Installation;
}

/** Far above what a test sends: the tests of limits bring their own. */
const NO_LIMITS = {
  requests_per_second: 100_000,
  handshakes_per_second: 100_000,
  connections_per_address: 10_000,
  streams_per_connection: 1_000,
};

function configOf(
  ca: SharedCa,
  data: string,
  cluster: string,
  overrides: NonNullable<InstallationOptions["config"]>,
): ProcessConfig {
  const { engine } = programsOf(process.env, process.execPath);
  const services = overrides.services ?? {};
  return processConfigSchema.parse({
    cluster,
    data,
    url: "https://127.0.0.1:0",
    listen: { address: "127.0.0.1", port: 0, names: ["127.0.0.1", "localhost"] },
    store: { kind: "pglite" },
    ca: { url: ca.url, root: ca.files.rootPem, provisioner: "cloudvlan", provisioner_key: ca.files.provisionerKey },
    denial_lag_seconds: 60,
    limits: NO_LIMITS,
    ...overrides,
    services: { ...services, netmap: { head_seconds: 0.5, engine, ...services["netmap"] } },
  });
}

/** What the composer builds, seen from the test. */
interface Seen {
  readonly contexts: Map<ServiceName, ServiceContext<unknown>>;
  readonly routers: Map<ServiceName, ConnectRouter>;
  readonly framed: Set<string>;
}

function watched(definition: ServiceDefinition, { contexts, routers, framed }: Seen): ServiceDefinition {
  return {
    ...definition,
    build: async (context) => {
      contexts.set(definition.name, context);
      const built = await definition.build(context);
      for (const { method } of built.frames ?? []) framed.add(pathOf(method));
      return {
        ...built,
        routes(router) {
          routers.set(definition.name, router);
          built.routes(router);
        },
      };
    },
  };
}

/** Makes an installation on an empty store. It closes with `close`. */
export async function newInstallation({ kind, config = {}, beside }: InstallationOptions): Promise<Installation> {
  const ca = await sharedCa();
  const folder = mkdtempSync(join(tmpdir(), "cvlan-contract-"));
  const lines: Line[] = [];
  const log = recordingLog(lines);
  const made = beside ? { config: beside.storeConfig, folder: undefined } : await newConfig(kind);
  const store = await openStore(made.config, log);
  const clusterId = beside?.clusterId ?? newId("cluster", Date.now());
  const seen: Seen = { contexts: new Map(), routers: new Map(), framed: new Set() };
  const data = join(folder, "data");
  if (beside) cpSync(beside.data, data, { recursive: true });
  let composition: Composition | undefined;
  const open = new Set<Connection>();

  async function close(): Promise<void> {
    for (const connection of open) connection.close();
    await composition?.close();
    await store[Symbol.asyncDispose]();
    for (const path of [folder, made.folder]) if (path !== undefined) rmSync(path, { recursive: true, force: true });
  }

  try {
    composition = await compose(
      services.map((definition) => watched(definition, seen)),
      configOf(ca, data, clusterId, config),
      { log, store },
    );
  } catch (error) {
    await close();
    throw error;
  }
  const { url, port } = composition;
  const roots = certificatesOf(readFileSync(ca.files.rootPem, "utf8"));

  function connect(options: Omit<Parameters<typeof connectTo>[1], "roots">): Connection {
    const connection = connectTo(url, { roots, ...options });
    open.add(connection);
    return connection;
  }

  return {
    kind,
    url,
    port,
    clusterId,
    roots,
    ownerKey: readFileSync(join(data, "platform-owner.key"), "utf8").trim(),
    lines,
    store,
    data,
    storeConfig: made.config,
    framed: seen.framed,
    context(service) {
      const context = seen.contexts.get(service);
      if (!context) throw new Error(`${service} was not built`);
      return context;
    },
    anonymous: () => connect({}),
    person: (bearer) => connect({ bearer }),
    holder: ({ certificate, key }) => connect({ certificate, key }),
    certify: (spiffe, validity) =>
      ca.issuer.issue([formatSpiffe({ ...spiffe, trustDomain: clusterId } as SpiffeId)], validity),
    inProcess(peer) {
      const handlers = [...seen.routers.values()].flatMap((router) => router.handlers);
      return createRouterTransport((router) => {
        for (const handler of handlers) {
          const call = (request: Parameters<typeof handler>[0]): ReturnType<typeof handler> =>
            handler({ ...request, contextValues: createContextValues().set(peerKey, peer) });
          router.handlers.push(Object.assign(call, { ...handler }));
        }
      });
    },
    async asSuperuser(statement) {
      if (made.config.kind !== "postgres") throw new Error("only PostgreSQL has another way in than ours");
      return (await testServer()).asSuperuser(made.config.url, statement);
    },
    close,
  };
}
