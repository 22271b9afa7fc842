import type { EngineStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import type { Logger } from "@cloudvlan/kit/log";
import { loadIdentity } from "../certificate/files.ts";
import type { ExpectedNode, TlsIdentity } from "../certificate/identity.ts";
import { keepCertificate } from "../certificate/renew.ts";
import { keepTrust } from "../certificate/trust.ts";
import { keepEndpoints } from "../endpoints/report.ts";
import type { ConfiguredEngine } from "../engine/configure.ts";
import { followMap } from "../map/follow.ts";
import { type Cell, present } from "../state/cell.ts";
import type { Membership } from "../state/membership.ts";
import type { Cause } from "../state/cause.ts";
import type { Problems } from "../state/problems.ts";
import { CONTROLLER_BACKOFF, fullJitter, sleep } from "../time/backoff.ts";
import { controllerOf } from "./connection.ts";
import type { ControllerView } from "./view.ts";

export interface AttendOptions {
  readonly state: string;
  readonly membership: Cell<Membership | undefined>;
  readonly identity: Cell<TlsIdentity | undefined>;
  readonly view: Cell<ControllerView>;
  /** Version of the controller, as its last answer said. */
  readonly version: Cell<string>;
  readonly configured: ConfiguredEngine;
  readonly engine: { readonly status: Cell<EngineStatus | undefined> };
  readonly cause: Cause;
  readonly clock: Clock;
  readonly problems: Problems;
  readonly log: Logger;
}

/** All that needs the controller, once this machine is a node: certificate, map, endpoints. */
export async function attendController(options: AttendOptions, signal: AbortSignal): Promise<void> {
  const { state, view, configured, engine, cause, clock, problems, log } = options;
  const membership = await present(options.membership, signal);
  const expected = {
    clusterId: membership.cluster_id,
    tenantId: membership.tenant_id,
    nodeId: membership.node_id,
  };
  const identity = await loadPatiently(options, expected, signal);
  const controller = controllerOf(membership.controller_url, identity);
  const common = { controller, clock, problems, log };
  await Promise.all([
    keepCertificate({ ...common, state, expected, identity }, signal),
    keepTrust({ state, url: membership.controller_url, view, identity, log }, signal),
    followMap({ ...common, configured, view, identity, cause }, signal),
    keepEndpoints({ ...common, status: engine.status, view, version: options.version }, signal),
  ]);
}

/** A machine may start with a wrong clock, by which its certificate is not valid yet: it is read again until it is. */
async function loadPatiently(
  options: AttendOptions,
  expected: ExpectedNode,
  signal: AbortSignal,
): Promise<Cell<TlsIdentity>> {
  const { state, identity, clock, problems, log } = options;
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      const loaded = await loadIdentity(state, expected, clock.nowMs());
      identity.set(loaded);
      problems.clear("certificate");
      return presentCell(identity, loaded);
    } catch (error) {
      if (problems.report("certificate", error)) log.error({ error }, "this node's certificate cannot be used");
    }
    await sleep(fullJitter(attempt, CONTROLLER_BACKOFF), signal);
  }
}

/** The same cell, seen as one that is never empty again. */
function presentCell<T>(source: Cell<T | undefined>, first: T): Cell<T> {
  return {
    get: () => source.get() ?? first,
    set: (value) => source.set(value),
    async *values(signal) {
      for await (const value of source.values(signal)) yield value ?? first;
    },
  };
}
