import { Code, ConnectError } from "@connectrpc/connect";
import type { EngineStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Logger } from "@cloudvlan/kit/log";
import type { ScrapeAddress, Telemetry } from "@cloudvlan/kit/telemetry";
import { type Cell, cell } from "../state/cell.ts";
import { privateFolder, statePath } from "../state/files.ts";
import { explainError, type Problems } from "../state/problems.ts";
import { type BackoffBounds, fullJitter, sleep } from "../time/backoff.ts";
import { reachEngine, type RunningEngine } from "./running.ts";
import { foreignSpan } from "./spans.ts";
import { spawnEngine } from "./spawn.ts";
import { type EngineTransport, engineTransport } from "./transport.ts";

/** The agent's view of its engine. */
export interface EngineLink {
  /** Undefined while it does not answer. */
  readonly running: Cell<RunningEngine | undefined>;
  /** Without its peers, of which there may be many; set anew also when only a peer changed. */
  readonly status: Cell<EngineStatus | undefined>;
}

export interface SuperviseOptions {
  readonly path: string;
  /** Where an engine that is started shows its figures. */
  readonly metrics: ScrapeAddress | undefined;
  readonly state: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly problems: Problems;
  /** Takes the spans of the engine. */
  readonly telemetry: Pick<Telemetry, "take">;
}

const RESTART: BackoffBounds = { minMs: 100, maxMs: 10_000 };
/** An engine that lived so long, in milliseconds, did not fail at start: the backoff begins anew. */
const SETTLED_MS = 60_000;
const PROBE_TIMEOUT_MS = 2_000;
const START_TIMEOUT_MS = 15_000;
const START_PROBE_MS = 25;

export function engineLink(): EngineLink {
  return { running: cell<RunningEngine | undefined>(undefined), status: cell<EngineStatus | undefined>(undefined) };
}

/**
 * Keeps one engine running until the signal aborts, and then leaves it running: packets do not depend on the agent.
 * An engine that already answers is taken over.
 */
export async function superviseEngine(link: EngineLink, options: SuperviseOptions, signal: AbortSignal): Promise<void> {
  const { log, clock, problems } = options;
  let failures = 0;
  while (!signal.aborted) {
    const startedAt = clock.monotonicMs();
    try {
      await privateFolder(statePath(options.state, "engine"));
      using transports = new DisposableStack();
      const engine = await reachOrStart(transports, options, signal);
      problems.clear("engine");
      log.info({ version: engine.identity.version, instance: engine.identity.instanceId }, "engine is up");
      await follow(link, engine, options, signal);
    } catch (error) {
      if (!signal.aborted && problems.report("engine", error))
        log.error({ why: explainError(error).message }, "engine failed");
    } finally {
      link.running.set(undefined);
      link.status.set(undefined);
    }
    if (clock.monotonicMs() - startedAt > SETTLED_MS) failures = 0;
    await sleep(fullJitter(failures, RESTART), signal);
    failures += 1;
  }
}

async function reachOrStart(
  transports: DisposableStack,
  options: SuperviseOptions,
  signal: AbortSignal,
): Promise<RunningEngine> {
  const present = await probe(transports, options, signal);
  if (present) return present;
  const child = await spawnEngine(options.path, options.state, options.metrics);
  options.log.info({ pid: child.pid }, "engine started");
  const deadline = options.clock.monotonicMs() + START_TIMEOUT_MS;
  for (;;) {
    const engine = await Promise.race([probe(transports, options, signal), child.ended]);
    if (engine) return engine;
    signal.throwIfAborted();
    if (options.clock.monotonicMs() > deadline) {
      throw new Refusal("unavailable", "ENGINE_SILENT", `the engine (pid ${child.pid}) does not answer`, {
        remedy: `see ${statePath(options.state, "engine.log")}`,
      });
    }
    await Promise.race([sleep(START_PROBE_MS, signal), child.ended]);
  }
}

/**
 * The engine if it answers, undefined if nobody listens on its socket. One that listens and does not answer is an error:
 * a second engine must not be started beside it. Each probe has its own transport, because grpc-js backs off after a
 * refused connection.
 */
async function probe(
  transports: DisposableStack,
  options: SuperviseOptions,
  signal: AbortSignal,
): Promise<RunningEngine | undefined> {
  const socket = statePath(statePath(options.state, "engine"), "engine.sock");
  using attempt = new DisposableStack();
  const transport: EngineTransport = attempt.use(engineTransport(socket, options.clock));
  try {
    const engine = await reachEngine(transport, signal, PROBE_TIMEOUT_MS);
    transports.use(attempt.move());
    return engine;
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.Unavailable) return undefined;
    throw error;
  }
}

async function follow(
  link: EngineLink,
  engine: RunningEngine,
  { log, telemetry }: SuperviseOptions,
  signal: AbortSignal,
): Promise<void> {
  for await (const { item } of engine.client.watch({ withoutPeers: true }, { signal })) {
    switch (item.case) {
      case "opened":
        if (item.value.instanceId !== engine.identity.instanceId) return;
        link.running.set(engine);
        break;
      case "status":
        link.status.set(item.value);
        break;
      case "event":
        log.info({ event: item.value.name, node: item.value.nodeId, detail: item.value.detail }, "engine event");
        break;
      case "span": {
        const span = foreignSpan(item.value);
        if (span) telemetry.take("cvlan-engine", span);
        break;
      }
      case undefined:
        break;
    }
  }
  throw new Refusal("unavailable", "ENGINE_GONE", "the engine closed its status stream", {
    remedy: "it is started again by itself",
  });
}
