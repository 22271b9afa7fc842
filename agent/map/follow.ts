import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { MapState } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { type MapPosition, MapPositionSchema, NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import type { MapUpdate } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import { inSpan } from "@cloudvlan/kit/telemetry";
import type { Logger } from "@cloudvlan/kit/log";
import type { Controller } from "../controller/connection.ts";
import { brought, type ControllerView, heard, lost, REJOIN, silent, SILENCE_MS } from "../controller/view.ts";
import type { ConfiguredEngine } from "../engine/configure.ts";
import type { RunningEngine } from "../engine/running.ts";
import { type Cell, changedFrom, present } from "../state/cell.ts";
import type { Cause } from "../state/cause.ts";
import { explainError, type Problems, reasonOf } from "../state/problems.ts";
import { type BackoffBounds, CONTROLLER_BACKOFF, fullJitter, jittered, sleep } from "../time/backoff.ts";
import { clockProblem } from "./skew.ts";
import { headCompleter } from "./head.ts";
import { applyError, type Outcome, outcomeOf, StepRefused } from "./outcome.ts";
import { stepCollector } from "./step.ts";

export interface FollowOptions {
  readonly configured: ConfiguredEngine;
  readonly controller: Controller;
  readonly view: Cell<ControllerView>;
  /** Changes with each newer certificate: the stream is opened anew with it. */
  readonly identity: Cell<unknown>;
  readonly cause: Cause;
  readonly problems: Problems;
  readonly clock: Clock;
  readonly log: Logger;
  readonly times?: FollowTimes;
}

/** All in milliseconds. */
export interface FollowTimes {
  /** A stream that says nothing for so long is dead. */
  readonly silence: number;
  /** A stream that lived so long was a good one: the backoff begins anew. */
  readonly settled: number;
  /** Between two polls, where streams do not live. */
  readonly poll: number;
  /** Between two attempts of a node that was revoked. */
  readonly revoked: number;
  /** Between attempts after the engine refused what it was given. */
  readonly refused: BackoffBounds;
}

export const FOLLOW_TIMES: FollowTimes = {
  silence: SILENCE_MS,
  settled: 30_000,
  poll: 25_000,
  revoked: 600_000,
  refused: { minMs: 1_000, maxMs: 300_000 },
};

/**
 * Refusals of the certificate in a row after which the node takes itself for revoked. A controller of the former version does
 * not say which it is; a certificate that is only past its validity is renewed meanwhile.
 */
const REFUSALS_OF_REVOKED = 5;
/** How often within its bound a silence is looked at. */
const LOOKS_PER_SILENCE = 18;
/** Streams that broke young, in a row, before polling is tried. */
const YOUNG_BREAKS = 3;
/** What to do about a damaged map. */
const MEND_MAP =
  "see that the controller can be reached: its next answer mends the map; then see what garbles this disk";
const TENANT_SUSPENDED = new Refusal("denied", "TENANT_SUSPENDED", "the tenant is suspended: there are no peers", {
  remedy: "ask the operator of the platform; this node comes back by itself once the tenant is active again",
});
/** Polls in a row before a stream is tried again. */
const POLLS_BEFORE_STREAM = 24;

/**
 * Carries the map from the controller to the engine until the signal aborts. Where to resume is what the engine holds, not
 * what the agent remembers.
 */
export async function followMap(options: FollowOptions, signal: AbortSignal): Promise<void> {
  const times = options.times ?? FOLLOW_TIMES;
  const { clock } = options;
  let failures = 0;
  let youngBreaks = 0;
  let resumes = 0;
  let refusals = 0;
  let full = false;
  while (!signal.aborted) {
    const engine = await present(options.configured, signal);
    const startedAt = clock.monotonicMs();
    const round = new AbortController();
    const ended = AbortSignal.any([signal, round.signal]);
    // A restarted engine has no endpoint hints: it needs a new stream as much as a renewed certificate does.
    const replaced = AbortSignal.any([
      changedFrom(options.configured, engine, ended),
      changedFrom(options.identity, options.identity.get(), ended),
    ]);
    const polling = youngBreaks >= YOUNG_BREAKS;
    let progressed = false;
    const carry = async (step: MapUpdate[]) => {
      const map = await options.cause.first("map", () => inSpan("agent.apply_map", {}, () => applyStep(engine, step)));
      noteTenant(options, step);
      if (step.some(({ head }) => head.length > 0)) noteHead(options, map);
      progressed = true;
      full = false;
      resumes = 0;
      options.problems.clear("map");
    };
    try {
      const position = await positionOf(engine, options.problems, full);
      await (polling ? pollOften : watchOnce)({ ...options, times, engine, position, carry }, replaced);
      youngBreaks = 0;
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (replaced.aborted) continue;
      const settled = clock.monotonicMs() - startedAt > times.settled;
      if (settled) failures = 0;
      refusals = outcomeOf(error) === "certificate" ? refusals + 1 : 0;
      const outcome = refusals >= REFUSALS_OF_REVOKED ? "revoked" : outcomeOf(error);
      youngBreaks = outcome === "unreachable" && !polling && !(settled && progressed) ? youngBreaks + 1 : 0;
      resumes = outcome === "resume" ? resumes + 1 : 0;
      full ||= outcome === "resync" || resumes > 1;
      report(options, outcome, error);
      await sleep(waitAfter(outcome, failures, times), replaced);
      failures += 1;
    } finally {
      round.abort();
    }
  }
}

/** Milliseconds to wait; never none after a refusal, so that a bad map does not become a loop. */
function waitAfter(outcome: Outcome, failures: number, times: FollowTimes): number {
  switch (outcome) {
    case "revoked":
      return jittered(times.revoked, 0.5);
    case "resume":
    case "resync":
      return times.refused.minMs + fullJitter(failures, times.refused);
    case "certificate":
    case "unreachable":
    case "engine":
      return fullJitter(failures, CONTROLLER_BACKOFF);
  }
}

function report(options: FollowOptions, outcome: Outcome, error: unknown): void {
  const { message } = explainError(error);
  switch (outcome) {
    case "revoked":
      options.view.set(lost(options.view.get(), message, options.clock.bootMs(), true));
      options.problems.report("controller", new Refusal("denied", "NODE_REVOKED", message, { remedy: REJOIN }));
      options.log.error({ error }, "this node was revoked; it tries again rarely");
      return;
    case "resume":
    case "resync":
      options.problems.report("map", error);
      options.log.error({ error, full: outcome === "resync" }, "the engine refused the map it was sent");
      return;
    case "engine":
      if (options.problems.report("map", error))
        options.log.warn({ why: explainError(error).message }, "the engine does not take the map");
      return;
    case "certificate":
    case "unreachable": {
      const isNew = options.view.get().error !== message;
      // A worker that ends in good order says so; what comes after it is the news.
      if (isNew && reasonOf(error) === "DRAINING")
        options.log.info({ why: message }, "controller ended the map stream");
      else if (isNew) options.log.warn({ why: message }, "controller unreachable");
      const isUntrusted = reasonOf(error) === "SERVER_NOT_TRUSTED";
      const view = lost(options.view.get(), message, options.clock.bootMs());
      options.view.set(isUntrusted ? { ...view, untrusted: true } : view);
      if (isUntrusted) options.problems.report("controller", error);
    }
  }
}

/** A map that begins anew says whether there is none but this node in it because of its tenant. */
function noteTenant({ problems, log }: FollowOptions, step: readonly MapUpdate[]): void {
  const whole = step.find(({ full }) => full);
  if (!whole) return;
  if (!whole.suspended) problems.clear("tenant");
  else if (problems.report("tenant", TENANT_SUSPENDED)) log.info({}, "the tenant is suspended: there are no peers");
}

/** A head of a live stream was just issued: it also tells whether this machine's clock is right. */
function noteHead({ view, clock, problems, log }: FollowOptions, map: MapState | undefined): void {
  view.set(brought(view.get(), clock.bootMs()));
  const problem = map?.headIssuedAt && clockProblem(timestampMs(map.headIssuedAt), clock.nowMs());
  if (!problem) problems.clear("clock");
  else if (problems.report("clock", problem)) log.warn({ why: problem.message }, "this machine's clock is wrong");
}

function noteWord({ view, clock, problems }: FollowOptions): void {
  view.set(heard(view.get(), clock.bootMs()));
  problems.clear("controller");
}

interface Round extends FollowOptions {
  readonly times: FollowTimes;
  readonly engine: RunningEngine;
  readonly position: MapPosition;
  carry(step: MapUpdate[]): Promise<void>;
}

/** One stream, until it breaks. It never ends well: a controller that drains breaks it, and the node resumes. */
async function watchOnce(round: Round, signal: AbortSignal): Promise<void> {
  const { times, engine, position } = round;
  const { clock } = round;
  const cut = new AbortController();
  let heardAt = clock.bootMs();
  // Looked at often: a timer stands still while the machine sleeps.
  const watchdog = setInterval(() => {
    if (clock.bootMs() - heardAt > times.silence) cut.abort(silent(times.silence));
  }, times.silence / LOOKS_PER_SILENCE);
  const request = { position, capabilityVersion: engine.identity.capabilityVersion, continuedHeads: true };
  const collector = stepCollector();
  const completed = headCompleter();
  try {
    const ends = { signal: AbortSignal.any([signal, cut.signal]), timeoutMs: 0 };
    const client = round.controller.client(NetmapService);
    const stream = round.cause.first("map stream", () => client.watch(request, ends));
    for await (const { update } of stream) {
      heardAt = clock.bootMs();
      noteWord(round);
      const step = update && collector.add(completed(update));
      if (step) await round.carry(step);
    }
  } catch (error) {
    cut.signal.throwIfAborted();
    throw error;
  } finally {
    clearInterval(watchdog);
  }
  throw new Refusal("unavailable", "STREAM_ENDED", "the controller ended the map stream");
}

/** The same map by single answers, for a while. */
async function pollOften(round: Round, signal: AbortSignal): Promise<void> {
  const { engine, times } = round;
  let position = round.position;
  for (let polls = 0; polls < POLLS_BEFORE_STREAM && !signal.aborted; polls += 1) {
    const request = { position, capabilityVersion: engine.identity.capabilityVersion };
    const { updates } = await round.controller.client(NetmapService).poll(request, { signal });
    if (polls === 0) round.log.warn({}, "map streams break young here; polling for a while");
    noteWord(round);
    const collector = stepCollector();
    for (const update of updates) {
      const step = collector.add(update);
      if (step) await round.carry(step);
    }
    await sleep(jittered(times.poll, 0.2), signal);
    position = await positionOf(engine, round.problems, false);
  }
}

async function applyStep(engine: RunningEngine, updates: MapUpdate[]): Promise<MapState | undefined> {
  try {
    return await engine.apply({ updates });
  } catch (error) {
    throw applyError(error);
  }
}

/** Where the engine stands. With a damaged map it stands nowhere: what it fell back to may lack what it had seen. */
async function positionOf(engine: RunningEngine, problems: Problems, full: boolean): Promise<MapPosition> {
  try {
    const { status } = await engine.client.getStatus({ withoutPeers: true });
    const { epoch = 0n, revision = 0n, keysetVersion = 0n, damage = "" } = status?.map ?? {};
    if (damage !== "") problems.report("map", new Refusal("conflict", "MAP_DAMAGED", damage, { remedy: MEND_MAP }));
    return create(MapPositionSchema, full || damage !== "" ? { epoch } : { epoch, revision, keysetVersion });
  } catch (error) {
    const failure = applyError(error);
    throw failure instanceof StepRefused ? error : failure;
  }
}
