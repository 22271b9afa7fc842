import { setTimeout as delay } from "node:timers/promises";
import type { SiteNode } from "@cloudvlan/infra/site/node";
import type { Lab } from "@cloudvlan/test/lab";
import type { BenchContext, Benchmark, RowResult } from "./benchmark.ts";
import { median } from "./benchmark.ts";
import { joinMembers } from "./members.ts";
import { type Network, startNetwork } from "./network.ts";
import { cpuSeconds, residentBytes } from "./process.ts";
import { renewalBytes } from "./renewal.ts";
import { passed } from "./wire.ts";

const PEERS = 100;
/** Further peers, for the growth by each: many, since a heap grows in steps of a megabyte. */
const FURTHER = 900;
/** Of the routes that the agent makes. */
const METRIC = 4_200;
const LOOK_MS = 1_000;
const READY_MS = 120_000;
const DAY = 86_400;
/** A node's certificate lives a day and is renewed at two thirds of it. */
const RENEWALS_A_DAY = 1.5;

interface Times {
  readonly restMs: number;
  readonly windowMs: number;
  /** Heads come every 27 to 30 s: a window for bytes holds many of them. */
  readonly bytesWindowMs: number;
}

const FULL: Times = { restMs: 30_000, windowMs: 60_000, bytesWindowMs: 600_000 };
const QUICK: Times = { restMs: 10_000, windowMs: 20_000, bytesWindowMs: 240_000 };

interface Sample {
  readonly agentRss: number;
  readonly agentRssAsked: number;
  readonly engineRss: number;
  /** Percent of a core. */
  readonly cpu: number;
}

/** How many addresses the routes of a machine lead to, by what `ip -4 route` shows of those that the agent made. */
function reached(shown: string): number {
  const routes = shown.split("\n").filter((line) => line.includes(`metric ${METRIC}`));
  return routes.reduce((sum, line) => sum + 2 ** (32 - Number(/^\S+\/(\d+) /.exec(line)?.[1] ?? 32)), 0);
}

/**
 * Waits until the host has routes to so many peers: engine and agent know them then. The agent is not asked: it would
 * read and write all peers once for the answer, and this is about what it holds while nobody asks.
 */
async function hasPeers(lab: Lab, node: SiteNode, count: number): Promise<void> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const { stdout } = await lab.exec(node.name, ["ip", "-4", "route", "show", "proto", "static"]);
    const known = reached(stdout);
    if (known === count) return;
    if (performance.now() > deadline) throw new Error(`${node.name} has routes to ${known} of ${count} peers`);
    await delay(LOOK_MS);
  }
}

/** The same after somebody asked for status, for which it reads and writes all peers once. */
async function askedRss(node: SiteNode): Promise<number> {
  if (!(await node.status())) throw new Error(`the agent of ${node.name} does not answer`);
  return residentBytes(node.agent.pid);
}

/** Starts agent and engine anew and looks at them while nothing happens. */
async function sample(lab: Lab, node: SiteNode, peers: number, times: Times): Promise<Sample> {
  await node.agent.end("SIGTERM");
  await node.killEngine();
  await node.agent.start();
  await hasPeers(lab, node, peers);
  await delay(times.restMs);
  const [agent, engine] = [node.agent.pid, await node.enginePid()];
  const used = async (): Promise<number> => (await cpuSeconds(agent)) + (await cpuSeconds(engine));
  const [before, began] = [await used(), performance.now()];
  await delay(times.windowMs);
  const seconds = (performance.now() - began) / 1000;
  return {
    cpu: ((await used()) - before) * (100 / seconds),
    agentRss: await residentBytes(agent),
    engineRss: await residentBytes(engine),
    agentRssAsked: await askedRss(node),
  };
}

async function samples(
  { lab }: Network,
  node: SiteNode,
  peers: number,
  context: BenchContext,
  times: Times,
): Promise<Sample[]> {
  const taken: Sample[] = [];
  for (let round = 0; round < (context.quick ? 1 : 3); round++) {
    const one = await sample(lab, node, peers, times);
    const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
    context.say(
      `${peers} peers: agent ${mb(one.agentRss)} MB, asked for status ${mb(one.agentRssAsked)} MB, engine ${mb(one.engineRss)} MB, ${one.cpu.toFixed(2)} %`,
    );
    taken.push(one);
  }
  return taken;
}

/** Bytes that pass between a node and its controller while nothing happens, a second. */
async function bytesPerSecond({ lab }: Network, node: SiteNode, windowMs: number): Promise<number> {
  const before = await passed(lab, node.name);
  const began = performance.now();
  await delay(windowMs);
  const after = await passed(lab, node.name);
  return (after - before) / ((performance.now() - began) / 1000);
}

async function bytesOf(network: Network, node: SiteNode, times: Times): Promise<RowResult> {
  const perSecond = await bytesPerSecond(network, node, times.bytesWindowMs);
  return {
    ours: [perSecond * DAY],
    details: { bytes_per_second: perSecond, window_s: times.bytesWindowMs / 1000 },
  };
}

async function measure(context: BenchContext): Promise<Record<string, RowResult>> {
  const { wants, say } = context;
  const times = context.quick ? QUICK : FULL;
  const results: Record<string, RowResult> = {};
  {
    await using network = await startNetwork(context, { store: "pglite", workers: 1 });
    const node = await network.machine("hosta");
    await node.join(await network.tenant.newJoinString());
    await joinMembers(network.tenant, 0, PEERS);
    say(`${PEERS} peers joined`);
    const few = await samples(network, node, PEERS, context, times);
    const asked = (taken: readonly Sample[]): number => median(taken.map(({ agentRssAsked }) => agentRssAsked));
    results["agent_rss"] = { ours: few.map(({ agentRss }) => agentRss), details: { asked_for_status: asked(few) } };
    results["engine_rss"] = { ours: few.map(({ engineRss }) => engineRss) };
    results["idle_cpu"] = { ours: few.map(({ cpu }) => cpu) };
    if (wants("idle_bytes")) results["idle_bytes"] = await bytesOf(network, node, times);
    if (wants("agent_rss_peer") || wants("engine_rss_peer")) {
      await joinMembers(network.tenant, PEERS, FURTHER);
      const many = await samples(network, node, PEERS + FURTHER, context, times);
      const growth = (of: (sample: Sample) => number): number[] =>
        many.map((each) => (of(each) - median(few.map(of))) / FURTHER);
      results["agent_rss_peer"] = {
        ours: growth(({ agentRss }) => agentRss),
        details: { asked_for_status: (asked(many) - asked(few)) / FURTHER },
      };
      results["engine_rss_peer"] = { ours: growth(({ engineRss }) => engineRss) };
    }
  }
  const bytes = results["idle_bytes"];
  if (bytes && "ours" in bytes) {
    const renewal = await renewalBytes(context);
    results["idle_bytes"] = {
      ours: bytes.ours.map((quiet) => quiet + RENEWALS_A_DAY * renewal),
      details: { ...bytes.details, renewal_bytes: renewal, renewals_a_day: RENEWALS_A_DAY },
    };
  }
  return results;
}

/**
 * A node that does nothing, in a network of 100 peers. Bytes are those of all its IP packets in a window, both ways and
 * with TLS and TCP, times the seconds of a day, and what the renewals of a day cost beside it. The controller is the only
 * one it talks to.
 */
export const idle: Benchmark = {
  name: "idle",
  rows: {
    agent_rss: { unit: "bytes", better: "less" },
    agent_rss_peer: { unit: "bytes", better: "less" },
    engine_rss: { unit: "bytes", better: "less" },
    engine_rss_peer: { unit: "bytes", better: "less" },
    idle_cpu: { unit: "% of a core", better: "less" },
    idle_bytes: { unit: "bytes/day", better: "less" },
  },
  enclosed: true,
  run: measure,
};
