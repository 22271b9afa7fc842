import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { ServiceName } from "../caller/index.ts";
import type { Clock } from "../clock/index.ts";
import type { ProcessConfig } from "../config/index.ts";
import {
  addressLimit,
  type Authorities,
  authorities,
  type Gate,
  gate,
  probeGate,
  type RefusalCounter,
  refusalCounter,
  type Workloads,
  workloads,
} from "../interceptors/index.ts";
import type { Logger } from "../log/index.ts";
import {
  type DenialJournal,
  type Denials,
  denials,
  type LiveStreams,
  liveStreams,
  type Standings,
  standings,
} from "../server/index.ts";
import { METRICS, observe } from "../telemetry/index.ts";
import type { Clients } from "./clients.ts";

/** What all services of a process share in order to know and to refuse callers; disposed of with the process. */
export interface Chassis extends Disposable {
  readonly live: LiveStreams;
  readonly denials: Denials;
  readonly standings: Standings;
  readonly refusals: RefusalCounter;
  readonly gate: Gate;
  readonly probeGate: Gate;
  readonly workloads: Workloads;
  readonly authorities: Authorities;
  /** Subjects that the journal had when the process began. */
  readonly deniedBefore: readonly string[];
  /** Ends every stream when aborted. */
  readonly draining: AbortController;
}

export interface ChassisOptions {
  readonly config: ProcessConfig;
  readonly clusterId: string;
  readonly local: readonly ServiceName[];
  readonly clients: Clients;
  /** DER. */
  readonly roots: () => readonly Uint8Array[];
  readonly journal: DenialJournal;
  readonly clock: Clock;
  readonly log: Logger;
}

export function chassis({ config, clusterId, local, clients, roots, journal, clock, log }: ChassisOptions): Chassis {
  const asWhom = local.includes("auth") ? "auth" : local[0];
  if (asWhom === undefined) throw new Error("no service runs in this process");
  const auth = clients.client(asWhom, AuthService);
  const live = liveStreams();
  const tenants = standings();
  const denied = denials({
    auth,
    live,
    standings: tenants,
    journal,
    clock,
    log,
    lagMs: config.denial_lag_seconds * 1000,
  });
  const refusals = refusalCounter(log);
  const shown = new DisposableStack();
  shown.use(refusals);
  shown.use(observe(METRICS.streamsOpen, () => [{ value: live.size, labels: {} }]));
  shown.use(observe(METRICS.denialsLag, () => [{ value: denied.lagMs() / 1000, labels: {} }]));
  shown.use(observe(METRICS.storeInfo, () => [{ value: 1, labels: { kind: config.store.kind } }]));
  const limit = addressLimit(config.limits.requests_per_second);
  const known = {
    workloads: workloads({ clock, trustDomain: clusterId, roots, denials: denied, standings: tenants }),
    authorities: authorities({ auth, denials: denied, standings: tenants, clock }),
  };
  return {
    ...known,
    live,
    denials: denied,
    standings: tenants,
    deniedBefore: [...journal.denied.keys()],
    refusals,
    gate: gate({ ...known, limit, refusals, log }),
    probeGate: probeGate({ limit, refusals, log }),
    draining: new AbortController(),
    [Symbol.dispose]: () => shown.dispose(),
  };
}
