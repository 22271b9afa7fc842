import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { NodeRecordSchema, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import type { Connection } from "@cloudvlan/kit/client";
import type { Member } from "@cloudvlan/test/member";
import { createClient } from "@connectrpc/connect";
import { type BenchContext, type Benchmark, quantile, type RowResult } from "./benchmark.ts";
import { joinMembers } from "./members.ts";
import { type Network, startNetwork } from "./network.ts";
import { type Arrival, isRefused, type Viewer, watchAs } from "./viewers.ts";

const WORKERS = 2;
const VIEWERS = 200;
const CHANGES_A_ROUND = 30;
const REVOCATIONS_A_ROUND = 5;
const PERCENTILE = 0.99;
const LOOK_MS = 2;
/** Between two connections of a revoked node, which tries and tries. */
const RETRY_MS = 5;
const CEILING_MS = 60_000;

/** When each viewer had a frame, by `performance.now()`; waits until all have one. @throws Error when a stream breaks */
async function allHave(viewers: readonly Viewer[], isIt: (arrival: Arrival) => boolean): Promise<number[]> {
  const deadline = performance.now() + CEILING_MS;
  for (;;) {
    const times: number[] = [];
    for (const viewer of viewers) {
      if (viewer.fault) throw viewer.fault;
      const found = viewer.arrivals.find(isIt);
      if (found) times.push(found.at);
    }
    if (times.length === viewers.length) return times;
    if (performance.now() > deadline) throw new Error(`${times.length} of ${viewers.length} viewers learnt of it`);
    await delay(LOOK_MS);
  }
}

function tells(nodeId: string, name: string): (arrival: Arrival) => boolean {
  return ({ update }) =>
    update.nodes.some((bytes) => {
      const record = fromBinary(NodeRecordSchema, fromBinary(SignedSchema, bytes).payload);
      return record.nodeId === nodeId && record.name === name;
    });
}

/** Milliseconds from the call that renames a node until the last viewer holds its new record. */
async function oneChange(api: Connection, viewers: readonly Viewer[], n: number): Promise<number> {
  const member = viewers[n % viewers.length]?.member;
  if (!member) throw new Error("nobody watches");
  for (const viewer of viewers) viewer.forget();
  const name = `renamed-${n}`;
  const { tenantId, nodeId } = member;
  const began = performance.now();
  await createClient(NodeService, api).updateNode({ tenantId, nodeId, name });
  return Math.max(...(await allHave(viewers, tells(nodeId, name)))) - began;
}

/** When a worker refuses a new connection of a member, by `performance.now()`. */
async function refusedBy({ control }: Network, worker: number, { credential }: Member): Promise<number> {
  const deadline = performance.now() + CEILING_MS;
  for (;;) {
    const connection = control.connectToWorker(worker, credential);
    try {
      await createClient(NetmapService, connection).poll({});
    } catch (error) {
      if (isRefused(error)) return performance.now();
      throw error;
    } finally {
      connection.close();
    }
    if (performance.now() > deadline) throw new Error(`worker ${worker} still serves a revoked node`);
    await delay(RETRY_MS);
  }
}

async function cut(viewer: Viewer): Promise<number> {
  const deadline = performance.now() + CEILING_MS;
  for (;;) {
    if (viewer.refusedAt !== undefined) return viewer.refusedAt;
    if (viewer.fault) throw viewer.fault;
    if (performance.now() > deadline) throw new Error("the stream of a revoked node goes on");
    await delay(LOOK_MS);
  }
}

/** Milliseconds from the call that revokes a node until its peers dropped it, its stream is cut and all workers refuse it. */
async function oneRevocation(network: Network, api: Connection, victim: Viewer, peers: readonly Viewer[]) {
  for (const viewer of peers) viewer.forget();
  const { tenantId, nodeId } = victim.member;
  const began = performance.now();
  await createClient(NodeService, api).revokeNode({ tenantId, nodeId });
  const workers = Array.from({ length: WORKERS }, (_, worker) => refusedBy(network, worker, victim.member));
  const removed = allHave(peers, ({ update }) => update.removedNodes.includes(nodeId));
  const ends = await Promise.all([removed.then((times) => Math.max(...times)), cut(victim), ...workers]);
  return Math.max(...ends) - began;
}

function rowOf(rounds: readonly (readonly number[])[]): RowResult {
  const all = rounds.flat();
  return {
    ours: rounds.map((figures) => quantile(figures, PERCENTILE)),
    details: { quantile: PERCENTILE, count: all.length, median: quantile(all, 0.5), most: Math.max(...all) },
  };
}

async function watchAll(network: Network, members: readonly Member[]): Promise<Viewer[]> {
  const { url, roots } = network.control;
  const viewers = members.map((member) => watchAs(url, roots, member));
  await Promise.all(viewers.map(({ ready }) => ready));
  return viewers;
}

async function measure(context: BenchContext): Promise<Record<string, RowResult>> {
  const { rounds, wants, say } = context;
  await using network = await startNetwork(context, { store: "postgres", workers: WORKERS });
  await using cleanup = new AsyncDisposableStack();
  const api = await network.control.connect();
  cleanup.defer(() => api.close());
  const victims = wants("revoke") ? rounds * REVOCATIONS_A_ROUND : 0;
  const viewers = await watchAll(network, await joinMembers(network.tenant, 0, VIEWERS + victims));
  cleanup.defer(() => viewers.forEach((viewer) => viewer.stop()));
  say(`${viewers.length} streams are open`);
  const results: Record<string, RowResult> = {};
  const stay = viewers.slice(0, VIEWERS);
  if (wants("change")) {
    // The first changes pay for what is made once: code, plans, connections.
    for (let n = 0; n < CHANGES_A_ROUND; n++) await oneChange(api, stay, n);
    const taken: number[][] = [];
    for (let round = 1; round <= rounds; round++) {
      const figures: number[] = [];
      for (let n = 0; n < CHANGES_A_ROUND; n++) figures.push(await oneChange(api, stay, round * CHANGES_A_ROUND + n));
      taken.push(figures);
      say(`change: median ${quantile(figures, 0.5).toFixed(0)} ms, most ${Math.max(...figures).toFixed(0)} ms`);
    }
    results["change"] = rowOf(taken);
  }
  if (wants("revoke")) {
    const taken: number[][] = [];
    for (let round = 0; round < rounds; round++) {
      const figures: number[] = [];
      const first = VIEWERS + round * REVOCATIONS_A_ROUND;
      for (const victim of viewers.slice(first, first + REVOCATIONS_A_ROUND)) {
        figures.push(await oneRevocation(network, api, victim, stay));
      }
      taken.push(figures);
      say(`revoke: median ${quantile(figures, 0.5).toFixed(0)} ms, most ${Math.max(...figures).toFixed(0)} ms`);
    }
    results["revoke"] = rowOf(taken);
  }
  return results;
}

/**
 * Two workers on PostgreSQL behind a balancer, 200 nodes that all see each other, each with a certificate, a connection and a
 * stream of its own, without agents and engines. A figure is the 99th percentile of a round; the row says the median of rounds.
 */
export const propagate: Benchmark = {
  name: "propagate",
  rows: { change: { unit: "ms", better: "less" }, revoke: { unit: "ms", better: "less" } },
  enclosed: true,
  run: measure,
};
