import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { auditLog } from "../audit/index.ts";
import { outsideScope, type ServiceName } from "../caller/index.ts";
import { changeStreams } from "../changes/index.ts";
import { type Clock, systemClock } from "../clock/index.ts";
import type { ProcessConfig } from "../config/index.ts";
import type { Store } from "../db/index.ts";
import { Refusal } from "../errors/index.ts";
import { deadlineInterceptor, errorsInterceptor, interceptorsFor } from "../interceptors/index.ts";
import { fileKeyProvider, type KeyProvider } from "../keys/index.ts";
import type { Logger } from "../log/index.ts";
import type { CertificateAuthority } from "../ca/index.ts";
import { pemOf } from "../pki/index.ts";
import {
  type FrameRoute,
  health,
  type Listener,
  type ListenerIdentity,
  openDenialJournal,
  startListener,
} from "../server/index.ts";
import { type Chassis, chassis } from "./chassis.ts";
import { localDefinitions, serviceConfig } from "./check.ts";
import { type Clients, clients } from "./clients.ts";
import { clusterIdOf, prepareDataFolder } from "./data-folder.ts";
import { handlersOf, routerOf } from "./host.ts";
import { type Identities, identities } from "./identities.ts";
import type { Identity } from "./identity.ts";
import type { Job, ServiceDefinition } from "./index.ts";
import { runJobs } from "./jobs.ts";
import { freePort, noAuthority, openAuthority, openProcessStore } from "./outside.ts";

/** Milliseconds that requests in flight get when the process ends. */
const DRAIN_MS = 10_000;
/** Milliseconds that a start waits for the first word from auth. */
const FIRST_DENIALS_MS = 5_000;
/** Milliseconds for which the reader of a frame stream may take nothing. */
const SLOW_READER_MS = 30_000;
const MAX_HEARTBEAT_MS = 5_000;
/** Milliseconds between looks at the file with the CA's roots. */
const ROOTS_MS = 5_000;

/** What comes from outside the configuration; tests bring their own. */
export interface ComposeDeps {
  readonly log: Logger;
  readonly clock?: Clock;
  readonly ca?: CertificateAuthority;
  readonly store?: Store;
}

/** A running process of the control plane. */
export interface Composition {
  readonly clusterId: string;
  /** Base URL as the configuration has it, with the port that was chosen when it said 0. */
  readonly url: string;
  readonly port: number;
  /** Drains and ends everything. */
  close(): Promise<void>;
}

interface Hosted {
  readonly handlers: readonly UniversalHandler[];
  readonly frames: readonly FrameRoute[];
  readonly jobs: readonly Job[];
}

interface Building {
  readonly config: ProcessConfig;
  readonly clusterId: string;
  readonly url: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly store: Store;
  readonly keys: KeyProvider;
  readonly ca: CertificateAuthority;
  readonly clients: Clients;
  readonly chassis: Chassis;
}

async function host(definition: ServiceDefinition, building: Building): Promise<Hosted> {
  const { config, clusterId, url, clock, store, keys, ca, clients, chassis } = building;
  const { name } = definition;
  const log = building.log.child({ part: name });
  const db = store.database(name);
  const audit = auditLog(clusterId);
  const heartbeatMs = Math.min(MAX_HEARTBEAT_MS, (config.denial_lag_seconds * 1000) / 3);
  const used = new Set(definition.uses.map((service) => service.typeName));
  const built = await definition.build({
    clusterId,
    data: config.data,
    url,
    config: serviceConfig(definition, config),
    log,
    clock,
    db,
    changes: changeStreams({ db, service: name, heartbeatMs }),
    audit,
    keys,
    ca,
    client: (service) => {
      if (!used.has(service.typeName))
        throw new Error(`${name} does not declare in \`uses\` that it calls ${service.typeName}`);
      return clients.client(name, service);
    },
    live: chassis.live,
    denyHere: (subject, issuedBefore) => chassis.denials.deny(subject, issuedBefore),
    isDeniedHere: (subject) => chassis.denials.isDenied(subject, 0),
    deniedBefore: chassis.deniedBefore,
    standings: chassis.standings,
  });
  const { gate, draining } = chassis;
  const interceptors = interceptorsFor({
    ...chassis,
    draining: draining.signal,
    log,
    clock,
    db,
    audit,
    trustDomain: clusterId,
  });
  return {
    handlers: handlersOf(definition, built, gate, interceptors),
    frames: (built.frames ?? []).map((stream) => ({ stream, interceptors, gate, log, drainMs: SLOW_READER_MS })),
    jobs: (built.jobs ?? []).map((job) => ({ name: `${name}/${job.name}`, run: (signal) => job.run(signal) })),
  };
}

function listenerIdentity({ chain, key, roots, intermediates }: Identity): ListenerIdentity {
  return { certificate: pemOf(chain), key, roots, intermediates };
}

/** A port of 0 is settled before services are built: join strings say it. */
async function settlePort(config: ProcessConfig): Promise<{ port: number; url: string }> {
  const { address, port: wanted } = config.listen;
  const port = wanted === 0 ? await freePort(address) : wanted;
  const url = new URL(config.url);
  if (url.port === "0") url.port = String(port);
  return { port, url: url.origin };
}

/**
 * Runs those of the services that no endpoint sends elsewhere in this process, behind one listener.
 * @throws ConfigError for what the configuration gets wrong, Refusal `unavailable` for what cannot be reached or had.
 */
export async function compose(
  definitions: readonly ServiceDefinition[],
  config: ProcessConfig,
  deps: ComposeDeps,
): Promise<Composition> {
  const { log, clock = systemClock } = deps;
  const local = localDefinitions(definitions, config);
  const names = local.map(({ name }) => name);
  await using stack = new AsyncDisposableStack();
  prepareDataFolder(config.data);
  const clusterId = clusterIdOf(config.data, config.cluster, clock.nowMs());
  const { port, url } = await settlePort(config);

  const store = deps.store ?? stack.use(await openProcessStore(config, log));
  for (const { name, migrations } of local) await store.migrate(name, migrations);
  const minting = names.includes("auth") ? (deps.ca ?? openAuthority(config, clock)) : undefined;

  const hosted = new Map<ServiceName, Hosted>();
  const reach = stack.use(
    clients({
      local: new Set(names),
      endpoints: config.endpoints,
      handlers: (service) => hosted.get(service)?.handlers,
      identity: (service) => own.service(service),
    }),
  );
  const own = await identities({
    config,
    trustDomain: clusterId,
    local: names,
    ca: minting,
    certificates: (service) => reach.client(service, CertificateService),
    clock,
    log,
  });
  const keys = await fileKeyProvider(join(config.data, "keys", "master"));
  const journal = await openDenialJournal({ path: join(config.data, "denials"), keys, clock, log });
  stack.defer(() => journal.close());
  const shared = chassis({
    config,
    clusterId,
    local: names,
    clients: reach,
    roots: () => own.listener().roots,
    journal,
    clock,
    log,
  });
  stack.use(shared);

  const building = { config, clusterId, url, clock, log, store, keys, ca: minting ?? noAuthority(), clients: reach };
  for (const definition of local) hosted.set(definition.name, await host(definition, { ...building, chassis: shared }));

  const background = new AbortController();
  const running: Promise<void>[] = [];
  stack.defer(async () => {
    background.abort();
    await Promise.all(running);
  });
  running.push(outsideScope(() => shared.denials.follow(background.signal)));
  const patience = AbortSignal.timeout(FIRST_DENIALS_MS);
  await Promise.race([shared.denials.ready, new Promise((resolve) => patience.addEventListener("abort", resolve))]);

  const state = health(() => new Set(local.flatMap(({ provides }) => provides.map((service) => service.typeName))));
  const probes = routerOf(shared.probeGate, [errorsInterceptor(log, shared.refusals), deadlineInterceptor()]);
  state.routes(probes);
  const listener = await startListener({
    address: config.listen.address,
    port,
    identity: listenerIdentity(own.listener()),
    handlers: [...probes.handlers, ...[...hosted.values()].flatMap((each) => each.handlers)],
    frames: [...hosted.values()].flatMap((each) => each.frames),
    limits: {
      connectionsPerAddress: config.limits.connections_per_address,
      handshakesPerSecond: config.limits.handshakes_per_second,
      streamsPerConnection: config.limits.streams_per_connection,
      requestsPerSecond: config.limits.requests_per_second,
    },
    log,
  });
  stack.defer(() => drain(listener, shared.draining, background, () => state.set("ending")));
  const show = (identity: Identity): void => listener.renew(listenerIdentity(identity));
  running.push(own.keep(show, background.signal));
  running.push(
    runJobs([...[...hosted.values()].flatMap((each) => each.jobs), followRoots(own, show)], log, background.signal),
  );
  state.set("serving");
  log.info({ cluster: clusterId, url, port: listener.port, services: names, store: store.kind }, "serving");

  const ending = stack.move();
  return { clusterId, url, port: listener.port, close: () => ending.disposeAsync() };
}

/** Has the listener trust another root of the CA, and show a certificate of the one that issues, soon after it is published. */
function followRoots(own: Identities, show: (identity: Identity) => void): Job {
  return {
    name: "follow the roots of the CA",
    run: async (signal) => {
      while (!signal.aborted) {
        if (await own.areRootsNew()) await own.refresh(show);
        await sleep(ROOTS_MS, undefined, { signal }).catch(() => undefined);
      }
    },
  };
}

async function drain(
  listener: Listener,
  draining: AbortController,
  background: AbortController,
  stopServing: () => void,
): Promise<void> {
  stopServing();
  background.abort();
  draining.abort(
    new Refusal("unavailable", "DRAINING", "this worker is shutting down", {
      remedy: "connect again, to another worker",
    }),
  );
  await listener.drain(DRAIN_MS);
}
