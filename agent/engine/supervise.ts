import { Code, ConnectError } from "@connectrpc/connect";
import type { EngineStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Logger } from "@cloudvlan/kit/log";
import type { ScrapeAddress, Telemetry } from "@cloudvlan/kit/telemetry";
import { type Cell, cell, changedFrom } from "../state/cell.ts";
import { privateFolder, statePath } from "../state/files.ts";
import { explainError, type Problems } from "../state/problems.ts";
import { type BackoffBounds, fullJitter, sleep } from "../time/backoff.ts";
import { buildOf } from "./build.ts";
import { replaceEngine, type Wishes, wishes } from "./replace.ts";
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
  /** Of those who want another process in its place. */
  readonly wishes: Wishes;
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
  return {
    running: cell<RunningEngine | undefined>(undefined),
    status: cell<EngineStatus | undefined>(undefined),
    wishes: wishes(),
  };
}

/**
 * Keeps one engine running until the signal aborts, and then leaves it running: packets do not depend on the agent.
 * An engine that already answers is taken over; when it is of another build than the executable, another process follows
 * it, as also when somebody wishes so.
 */
export async function superviseEngine(link: EngineLink, options: SuperviseOptions, signal: AbortSignal): Promise<void> {
  const { log, clock, problems } = options;
  let failures = 0;
  while (!signal.aborted) {
    const startedAt = clock.monotonicMs();
    try {
      await privateFolder(statePath(options.state, "engine"));
      using transports = new DisposableStack();
      const { engine, isOther } = await reachOrStart(transports, options, signal);
      let running: RunningEngine | undefined = engine;
      if (isOther) running = await succeed(link, engine, transports, options, signal);
      while (running) {
        problems.clear("engine");
        log.info({ version: running.identity.version, instance: running.identity.instanceId }, "engine is up");
        running = await followOn(link, running, transports, options, signal);
      }
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

/** Follows one engine; when another process went on in its place, wished here or elsewhere, says which. */
async function followOn(
  link: EngineLink,
  engine: RunningEngine,
  transports: DisposableStack,
  options: SuperviseOptions,
  signal: AbortSignal,
): Promise<RunningEngine | undefined> {
  try {
    await follow(link, engine, options, signal);
  } catch (error) {
    const next = signal.aborted ? undefined : await probe(transports, options, signal);
    const status = await next?.client.getStatus({ withoutPeers: true }, { signal });
    if (status?.status?.takeover?.formerInstanceId !== engine.identity.instanceId) throw error;
    options.log.info({ instance: next?.identity.instanceId }, "another engine took over");
    return next;
  }
  return link.wishes.pending.get() ? await succeed(link, engine, transports, options, signal) : undefined;
}

/** The engine that runs after another process was to follow `former`: that one, or the former one where it goes on. */
async function succeed(
  link: EngineLink,
  former: RunningEngine,
  transports: DisposableStack,
  options: SuperviseOptions,
  signal: AbortSignal,
): Promise<RunningEngine> {
  const { path, state, metrics, log } = options;
  const wish = link.wishes.pending.get();
  link.running.set(undefined);
  const start = () => spawnEngine(path, state, metrics, true);
  try {
    const steps = { ...options, start, probe: () => probe(transports, options, signal) };
    const { engine, replaced } = await replaceEngine(former, steps, signal);
    const { sessions, flows, gapUs, ordinary } = replaced.takeover ?? {};
    log.info({ sessions, flows, gap_us: gapUs && Number(gapUs), ordinary }, "engine replaced");
    wish?.fulfilled(replaced);
    return engine;
  } catch (error) {
    wish?.refused(error);
    const present = signal.aborted ? undefined : await probe(transports, options, signal);
    if (!present) throw error;
    log.error({ why: explainError(error).message }, "the engine was not replaced: the former one goes on");
    return present;
  }
}

async function reachOrStart(
  transports: DisposableStack,
  options: SuperviseOptions,
  signal: AbortSignal,
): Promise<{ engine: RunningEngine; isOther: boolean }> {
  const present = await probe(transports, options, signal);
  if (present) {
    const wanted = present.identity.build && (await buildOf(options.path));
    return { engine: present, isOther: Boolean(wanted) && wanted !== present.identity.build };
  }
  const child = await spawnEngine(options.path, options.state, options.metrics, false);
  options.log.info({ pid: child.pid }, "engine started");
  const deadline = options.clock.monotonicMs() + START_TIMEOUT_MS;
  for (;;) {
    const engine = await Promise.race([probe(transports, options, signal), child.ended]);
    if (engine) return { engine, isOther: false };
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

/** Returns when somebody wishes another process, or another one answers than was expected. */
async function follow(
  link: EngineLink,
  engine: RunningEngine,
  { log, telemetry }: SuperviseOptions,
  signal: AbortSignal,
): Promise<void> {
  using round = abortedAtEnd();
  const wished = changedFrom(link.wishes.pending, undefined, AbortSignal.any([signal, round.signal]));
  try {
    for await (const { item } of engine.client.watch(
      { withoutPeers: true },
      { signal: AbortSignal.any([signal, wished]) },
    )) {
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
  } catch (error) {
    if (wished.aborted && !signal.aborted) return;
    throw error;
  }
  throw new Refusal("unavailable", "ENGINE_GONE", "the engine closed its status stream", {
    remedy: "it is started again by itself",
  });
}

function abortedAtEnd(): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  return { signal: controller.signal, [Symbol.dispose]: () => controller.abort() };
}
