import { networkInterfaces } from "node:os";
import type { EngineStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import type { Logger } from "@cloudvlan/kit/log";
import type { Controller } from "../controller/connection.ts";
import type { ControllerView } from "../controller/view.ts";
import type { Cell } from "../state/cell.ts";
import { explainError, type Problems, reasonOf } from "../state/problems.ts";
import { CONTROLLER_BACKOFF, fullJitter, jittered, sleep } from "../time/backoff.ts";
import { localEndpoints } from "./local.ts";

/** The interfaces are looked at so often, in milliseconds. */
const LOOK_MS = 5_000;
/** A report that did not change is repeated so often, in milliseconds: the controller forgets one after an hour. */
const REPEAT_MS = 20 * 60_000;

export interface ReportOptions {
  readonly controller: Controller;
  readonly status: Cell<EngineStatus | undefined>;
  readonly view: Cell<ControllerView>;
  /** Version of the controller, as its last answer said. */
  readonly version: Cell<string>;
  readonly clock: Clock;
  readonly problems: Problems;
  readonly log: Logger;
}

/** Tells the controller where this node may be reached, when it changes and before it is forgotten. */
export async function keepEndpoints(options: ReportOptions, signal: AbortSignal): Promise<void> {
  const { status, clock, problems, log } = options;
  let reported = "";
  let repeatAt = 0;
  let failures = 0;
  while (!signal.aborted) {
    const endpoints = endpointsNow(status.get());
    const text = JSON.stringify(endpoints);
    // Nobody is told where a revoked node is; the map's stream finds out when it is one no more.
    if (endpoints && !options.view.get().revoked && (text !== reported || clock.monotonicMs() >= repeatAt)) {
      try {
        const { version } = await options.controller.client(NetmapService).reportEndpoints({ endpoints }, { signal });
        options.version.set(version);
        reported = text;
        repeatAt = clock.monotonicMs() + jittered(REPEAT_MS, 0.1) - REPEAT_MS / 10;
        failures = 0;
        problems.clear("endpoints");
        log.debug({ count: endpoints.length }, "endpoints reported");
      } catch (error) {
        if (signal.aborted) return;
        if (problems.report("endpoints", error)) {
          const level = reasonOf(error) === "TENANT_SUSPENDED" ? "info" : "warn";
          log[level]({ why: explainError(error).message }, "endpoints not reported yet");
        }
        await sleep(fullJitter(failures, CONTROLLER_BACKOFF), signal);
        failures += 1;
        continue;
      }
    }
    await settle(status, signal);
  }
}

/** Waits for the next look; while the engine has no port yet, for its status. */
async function settle(status: Cell<EngineStatus | undefined>, signal: AbortSignal): Promise<void> {
  const look = AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)]);
  const port = status.get()?.listenPort;
  for await (const now of status.values(look)) {
    if (now?.listenPort !== port) return;
  }
}

function endpointsNow(status: EngineStatus | undefined): { address: string; port: number }[] | undefined {
  if (!status?.listenPort) return undefined;
  const overlay = [...status.addresses, ...status.routes];
  return localEndpoints(networkInterfaces(), status.interfaceName, overlay, status.listenPort);
}
