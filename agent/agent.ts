import { hostname } from "node:os";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { EngineService } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import type { Logger } from "@cloudvlan/kit/log";
import { inSpan, type Telemetry } from "@cloudvlan/kit/telemetry";
import { serveLocal } from "./api/server.ts";
import type { LocalNode } from "./api/node.ts";
import { engineAbsent } from "./api/service.ts";
import type { TlsIdentity } from "./certificate/identity.ts";
import type { AgentConfig } from "./config.ts";
import { attendController } from "./controller/attend.ts";
import { CONNECTING, type ControllerView } from "./controller/view.ts";
import { keepConfigured } from "./engine/configure.ts";
import type { RunningEngine } from "./engine/running.ts";
import { type EngineLink, engineLink, superviseEngine } from "./engine/supervise.ts";
import { engineTransport } from "./engine/transport.ts";
import { join } from "./enrol/join.ts";
import { nodeNameOf } from "./enrol/name.ts";
import { resumeJoin } from "./enrol/resume.ts";
import { keepHost } from "./host/sync.ts";
import { keepResolver, restoreHost } from "./resolver/index.ts";
import { joinCause } from "./state/cause.ts";
import { cell, present } from "./state/cell.ts";
import { showFigures } from "./state/figures.ts";
import { privateFolder, statePath } from "./state/files.ts";
import { type Membership, readMembership } from "./state/membership.ts";
import { problemBook, type Problems } from "./state/problems.ts";
import type { RecentLines } from "./state/recent.ts";

/** Milliseconds that a join waits for the engine. */
const ENGINE_WAIT_MS = 20_000;

export interface AgentDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  /** Takes the spans of the engine. */
  readonly telemetry: Pick<Telemetry, "take">;
  /** Where the log's newest lines are kept. */
  readonly recent: RecentLines;
}

/**
 * Runs the agent until the signal aborts. The engine is left running. What works without the controller starts without it:
 * engine, addresses and routes come up from disk first.
 * @throws Refusal when the state folder cannot be used or another agent uses it.
 */
export async function runAgent(config: AgentConfig, deps: AgentDeps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  const { state } = config;
  await privateFolder(state);
  const problems = problemBook();
  const engine = engineLink();
  const membership = cell<Membership | undefined>(undefined);
  const identity = cell<TlsIdentity | undefined>(undefined);
  const view = cell<ControllerView>(CONNECTING);
  const cause = joinCause();
  const controllerVersion = cell("");
  let turn: Promise<unknown> = Promise.resolve();

  const joinOnce = async (joinString: string, name: string, until: AbortSignal) => {
    const { identity: keys, client } = await engineForJoin(engine, problems, until);
    const prover = { identity: keys, prove: (request: Parameters<typeof client.prove>[0]) => client.prove(request) };
    const options = { state, clock, prover, expelled: view.get().revoked };
    const wanted = name || nodeNameOf(hostname());
    const joined = await inSpan("agent.join", {}, () => join(options, joinString, wanted, until));
    log.info({ node: joined.node_id, cvlan: joined.cvlan_name, name: joined.name }, "joined");
    cause.begin();
    if (!membership.get()) membership.set(joined);
  };
  const node: LocalNode = {
    version: deps.version,
    config,
    clock,
    recent: deps.recent,
    engine,
    membership,
    identity,
    controller: view,
    controllerVersion,
    problems,
    join(joinString, name, until) {
      const mine = turn.then(() => joinOnce(joinString, name, AbortSignal.any([until, signal])));
      turn = mine.catch(() => undefined);
      return mine;
    },
  };

  using _figures = showFigures(node, clock);
  await using _server = await serveLocal(statePath(state, "agent.sock"), node, clock, log);
  try {
    membership.set(await readMembership(state));
  } catch (error) {
    problems.report("join", error);
    log.error({ error }, "the membership cannot be read; the engine goes on by its own state");
  }
  log.info({ state, enrolled: membership.get() !== undefined, version: deps.version }, "agent is up");

  const local = {
    interfaceName: config.interface,
    listenPort: config.listen_port,
    mtu: config.mtu,
    attachment: { kind: config.interface_kind, proxy: config.proxy, forwards: config.forwards },
  };
  const nameservers = cell<readonly string[] | undefined>(undefined);
  const { configured, done } = keepConfigured(engine, { local, membership, nameservers, cause, problems, log }, signal);
  // The host does not reach what names of the overlay mean when the stack is the engine's own.
  const resolver = {
    mode: config.interface_kind === "userspace" ? ("off" as const) : config.resolver,
    state,
    status: engine.status,
    fallback: nameservers,
    problems,
    log,
    clock,
  };
  const jobs = [
    superviseEngine(
      engine,
      {
        path: config.engine,
        metrics: config.telemetry?.engine_metrics,
        state,
        log,
        clock,
        problems,
        telemetry: deps.telemetry,
      },
      signal,
    ),
    done,
    keepHost({ status: engine.status, problems, log }, signal),
    keepResolver(resolver, signal),
    resumeJoin({ state, problems, log, attempt: (begun) => node.join(begun.joinString, begun.name, signal) }, signal),
    attendController(
      {
        state,
        membership,
        identity,
        view,
        version: controllerVersion,
        configured,
        engine,
        cause,
        clock,
        problems,
        log,
      },
      signal,
    ),
  ];
  await Promise.all(jobs.map((job) => untilAborted(job, signal)));
}

/** Ends the engine of a state folder and puts the host's resolver back. An engine that does not run is no error. */
export async function stopEngine(config: AgentConfig, clock: Clock): Promise<void> {
  using transport = engineTransport(engineSocket(config), clock);
  try {
    await createClient(EngineService, transport).shutdown({});
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  await restoreHost(config.state);
}

/** Puts the host's resolver back, unless an engine goes on answering names. */
export async function restoreResolver(config: AgentConfig, clock: Clock): Promise<void> {
  using transport = engineTransport(engineSocket(config), clock);
  try {
    await createClient(EngineService, transport).getStatus({});
  } catch (error) {
    if (!isAbsent(error)) throw error;
    await restoreHost(config.state);
  }
}

function engineSocket({ state }: AgentConfig): string {
  return statePath(statePath(state, "engine"), "engine.sock");
}

function isAbsent(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unavailable;
}

/** The engine, which may just be starting. @throws Refusal `ENGINE_ABSENT` with what keeps it from running. */
async function engineForJoin(link: EngineLink, problems: Problems, signal: AbortSignal): Promise<RunningEngine> {
  try {
    return await present(link.running, AbortSignal.any([signal, AbortSignal.timeout(ENGINE_WAIT_MS)]));
  } catch (error) {
    signal.throwIfAborted();
    throw engineAbsent(problems, error);
  }
}

/** A job that was cut off by the end of the agent did not fail. */
async function untilAborted(job: Promise<void>, signal: AbortSignal): Promise<void> {
  try {
    await job;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
