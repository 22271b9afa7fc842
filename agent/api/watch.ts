import { clone, create, toBinary } from "@bufbuild/protobuf";
import { type AgentStatus, AgentStatusSchema, PeerSummarySchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { type Cell, cell } from "../state/cell.ts";
import { sleep } from "../time/backoff.ts";
import type { LocalNode } from "./node.ts";
import { statusOf } from "./status.ts";

/** Milliseconds between two answers at least. */
const PACE_MS = 1_000;
/** Milliseconds after which the status is looked at although nothing said that it changed: time alone changes it too. */
const LOOK_MS = 5_000;

/** The status now and after each change, at most once a second, until the signal aborts. */
export async function* watchStatus(node: LocalNode, signal: AbortSignal): AsyncGenerator<{ status: AgentStatus }> {
  const { engine, membership, identity, controller, controllerVersion, problems } = node;
  const ended = new AbortController();
  const until = AbortSignal.any([signal, ended.signal]);
  const sources = [
    engine.status,
    engine.running,
    membership,
    identity,
    controller,
    controllerVersion,
    problems.version,
  ];
  const changes = anyOf(sources, until);
  let told: Uint8Array | undefined;
  try {
    while (!signal.aborted) {
      const seen = changes.get();
      const status = await statusOf(node);
      const ageless = withoutAges(status);
      if (told === undefined || Buffer.compare(told, ageless) !== 0) yield { status };
      told = ageless;
      await sleep(PACE_MS, signal);
      await changedSince(changes, seen, signal);
    }
  } finally {
    ended.abort();
  }
}

/** Counts the changes of all the cells. */
function anyOf(sources: readonly Cell<unknown>[], signal: AbortSignal): Cell<number> {
  const count = cell(0);
  const follow = async (source: Cell<unknown>) => {
    for await (const _ of source.values(signal)) count.set(count.get() + 1);
  };
  for (const source of sources) void follow(source);
  return count;
}

async function changedSince(changes: Cell<number>, seen: number, signal: AbortSignal): Promise<void> {
  const look = AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)]);
  for await (const now of changes.values(look)) if (now !== seen) return;
}

/** What is told again only when it changed: everything but what grows older by itself. */
function withoutAges(status: AgentStatus): Uint8Array {
  const { headAgeMs: _head, controllerSilenceMs: _silence, ...copy } = clone(AgentStatusSchema, status);
  const peers = copy.peers.map(({ nodeId, name, state }) => create(PeerSummarySchema, { nodeId, name, state }));
  return toBinary(AgentStatusSchema, { ...copy, peers });
}
