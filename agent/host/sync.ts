import { createHash } from "node:crypto";
import type { EngineStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Logger } from "@cloudvlan/kit/log";
import type { Cell } from "../state/cell.ts";
import type { Problems } from "../state/problems.ts";
import { readInterface, runBatch } from "./ip.ts";
import { type InterfaceState, planHost } from "./plan.ts";
import { textPrefix } from "./prefix.ts";

/** Linux interface names; nothing else goes into a line for `ip`. */
const INTERFACE_NAME = /^[a-zA-Z0-9_.-]{1,15}$/;

/** Milliseconds after which the interface is looked at again although the engine said nothing new. */
const LOOK_AGAIN_MS = 10_000;

export interface HostOptions {
  readonly status: Cell<EngineStatus | undefined>;
  readonly problems: Problems;
  readonly log: Logger;
}

/** Keeps the host's addresses and routes as the engine says, until the signal aborts. Touches its own interface only. */
export async function keepHost(options: HostOptions, signal: AbortSignal): Promise<void> {
  const { status, problems, log } = options;
  while (!signal.aborted) {
    let done: string | undefined;
    for await (const now of status.values(AbortSignal.any([signal, AbortSignal.timeout(LOOK_AGAIN_MS)]))) {
      // The engine's own network stack has no interface of the host.
      if (!now?.interfaceName) continue;
      const wanted = digest([now.instanceId, now.interfaceName, wantedOf(now)]);
      if (wanted === done) continue;
      try {
        const commands = await syncHost(now);
        done = wanted;
        problems.clear("host");
        if (commands > 0) log.info({ interface: now.interfaceName, commands }, "host brought up to date");
      } catch (error) {
        if (problems.report("host", error)) log.error({ error }, "addresses or routes could not be set");
      }
    }
  }
}

/**
 * Makes addresses, routes, MTU and state of the interface what the engine says. Both families are tried even when one
 * fails. Running it again, after whatever crash, finishes the work.
 * @returns how many commands it took.
 */
export async function syncHost(status: EngineStatus): Promise<number> {
  const name = status.interfaceName;
  if (!INTERFACE_NAME.test(name)) throw new RangeError("the engine names an impossible interface");
  const actual = await readInterface(name);
  if (!actual) return 0;
  const wanted = wantedOf(status);
  const plan = planHost(name, actual, { ...wanted, mtu: wanted.mtu || actual.mtu });
  const failures: unknown[] = [];
  for (const { family, lines } of plan.batches) {
    await runBatch(family, lines).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
  return plan.batches.reduce((sum, { lines }) => sum + lines.length, 0);
}

/** Stands for what was done: there may be thousands of routes, and they need not be kept as text too. */
function digest(wanted: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(wanted)).digest("base64");
}

function wantedOf(status: EngineStatus): InterfaceState {
  return {
    mtu: status.mtu,
    up: true,
    addresses: status.addresses.map(textPrefix),
    // A default route would capture the tunnel's own packets.
    routes: status.routes.filter(({ length }) => length > 0).map(textPrefix),
  };
}
