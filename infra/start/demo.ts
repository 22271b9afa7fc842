import { setTimeout as delay } from "node:timers/promises";
import type { PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { systemClock } from "@cloudvlan/kit/clock";
import { newId } from "@cloudvlan/kit/ids";
import { type Capture, createLab, type DemoNetwork, demoNetwork, type Lab } from "@cloudvlan/test/lab";
import type { SiteNode } from "../site/node.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { startNode } from "./node.ts";
import type { Programs, ShippedPrograms } from "./programs.ts";
import { doubtsAbout, hasCounted } from "./proof.ts";
import type { Stages } from "./stages.ts";
import { addressesOf } from "./table.ts";
import { createDemoTenant, type DemoTenant } from "./tenant.ts";
import { carryTraffic, type Mode, userspaceConfig } from "./userspace.ts";

/** In the enclosure /run is an empty memory file system that ends with it. */
const FOLDER = "/run/demo";
const PORT = 8443;
const FIRST_UNDERLAY = 71;
const LAST_UNDERLAY = 99;
const VISIBLE_MS = 30_000;
const FIRST_PINGS = 1;
const FIRST_ANSWER_MS = 500;
const PROOF_PINGS = 3;
const COUNTED_MS = 5_000;

/** A running demonstration. */
export interface Demo {
  readonly lab: Lab;
  readonly control: ControlPlane;
  readonly tenant: DemoTenant;
  readonly nodes: readonly [SiteNode, SiteNode];
  /** Where its files are, among them the logs. */
  readonly folder: string;
  /** `performance.now()` when the first ping was answered. */
  readonly firstPingAt: number;
}

/** What `cvlan ping --json` prints, as far as it is read here. */
interface PingReport {
  readonly replies: readonly { readonly reply?: { readonly rttUs?: string } }[];
}

interface Underlay {
  readonly lab: Lab;
  readonly network: DemoNetwork;
  /** All that passes the router to and from the first machine. */
  readonly capture: Capture;
}

/** Builds the underlay, on the first of a few networks that nothing on this machine uses. */
async function createUnderlay(programs: Programs): Promise<Underlay> {
  for (let second = FIRST_UNDERLAY; ; second++) {
    const network = demoNetwork(second);
    try {
      const lab = await createLab(network.topology, { captureProgram: programs.lab });
      return { network, lab, capture: await lab.capture("router", "hosta0") };
    } catch (error) {
      const taken = error instanceof Error && error.message.includes("File exists");
      if (!taken || second === LAST_UNDERLAY) throw error;
    }
  }
}

async function join(node: SiteNode, tenant: DemoTenant): Promise<void> {
  await node.cvlan(["join", "--name", node.name], await tenant.newJoinString());
}

/** Pings by name and returns how many pings were answered. */
async function ping(from: SiteNode, to: SiteNode, count: number, timeoutMs = 5_000): Promise<number> {
  const times = ["--count", String(count), "--interval", "50", "--timeout", String(timeoutMs)];
  const out = await from.cvlan(["ping", to.name, ...times, "--json"]);
  const { replies } = JSON.parse(out) as PingReport;
  return replies.filter(({ reply }) => reply?.rttUs !== undefined).length;
}

/**
 * Pings until the other machine answers: it may know of us and still be setting its addresses.
 * @throws Error when it does not within `VISIBLE_MS`
 */
async function firstAnswer(from: SiteNode, to: SiteNode): Promise<void> {
  const deadline = performance.now() + VISIBLE_MS;
  for (;;) {
    try {
      await ping(from, to, FIRST_PINGS, FIRST_ANSWER_MS);
      return;
    } catch (error) {
      const isUnanswered = error instanceof Error && error.message.includes("NO_ANSWER");
      if (!isUnanswered || performance.now() > deadline) throw error;
    }
  }
}

/** What an engine says of its peer once it has counted the pings; its status lags by up to a second. */
async function countedPeer(node: SiteNode, other: SiteNode, pings: number): Promise<PeerStatus> {
  const deadline = performance.now() + COUNTED_MS;
  for (;;) {
    const peer = await node.peer(other.name);
    if (!peer) throw new Error(`${node.name} does not see ${other.name} any more`);
    if (hasCounted(peer, pings) || performance.now() > deadline) return peer;
    await delay(50);
  }
}

async function prove({ network, capture }: Underlay, [a, b]: readonly [SiteNode, SiteNode]): Promise<void> {
  const pings = FIRST_PINGS + (await ping(a, b, PROOF_PINGS));
  const [peerOfA, peerOfB] = await Promise.all([countedPeer(a, b, pings), countedPeer(b, a, pings)]);
  const doubts = doubtsAbout({
    underlay: [network.hostAddresses.hosta, network.hostAddresses.hostb],
    overlay: [peerOfA, peerOfB].flatMap(({ addresses }) => addressesOf(addresses)),
    engines: [
      { name: a.name, peer: peerOfA },
      { name: b.name, peer: peerOfB },
    ],
    packets: await capture.stop(),
    pings,
  });
  if (doubts.length > 0) throw new Error(doubts.join("; "));
}

/**
 * Brings up a control plane, two machines on two subnets behind a router, joins both, pings and proves; without TUN it carries
 * TCP and UDP too, which elsewhere is the matter of the hosts.
 * @throws StartFailure naming the stage
 */
export async function runDemo(programs: ShippedPrograms, stages: Stages, mode: Mode): Promise<Demo> {
  const underlay = await stages.run("lab", () => createUnderlay(programs));
  const { lab, network } = underlay;
  const settings = {
    folder: FOLDER,
    clusterId: newId("cluster", systemClock.nowMs()),
    listen: network.controlAddress,
    host: network.controlAddress,
    port: PORT,
    names: [],
    databaseTemplate: programs.databaseTemplate,
  };
  const optionsOf = (name: keyof typeof userspaceConfig) => (mode === "tun" ? {} : { config: userspaceConfig[name] });
  const [control, a, b] = await Promise.all([
    startControlPlane(settings, programs, stages),
    stages.run("agent_a", () => startNode(lab, "hosta", FOLDER, programs, optionsOf("hosta"))),
    stages.run("agent_b", () => startNode(lab, "hostb", FOLDER, programs, optionsOf("hostb"))),
  ]);
  const tenant = await stages.run("tenant", async () => createDemoTenant(await control.connect()));
  await Promise.all([stages.run("join_a", () => join(a, tenant)), stages.run("join_b", () => join(b, tenant))]);

  const [firstPingAt] = await Promise.all([
    stages.run("ping", async () => {
      const visible = (from: SiteNode, to: SiteNode) =>
        from.agent.until(`${to.name} in the map of ${from.name}`, () => from.peer(to.name), VISIBLE_MS);
      await Promise.all([visible(a, b), visible(b, a)]);
      await firstAnswer(a, b);
      return performance.now();
    }),
    stages.run("handshake", () =>
      a.agent.until("the handshake", async () => (await a.peer(b.name))?.latestHandshakeAt, VISIBLE_MS),
    ),
  ]);
  if (mode === "userspace") await stages.run("traffic", () => carryTraffic(lab, [a, b], programs.node, FOLDER));
  await stages.run("proof", () => prove(underlay, [a, b]));
  return { lab, control, tenant, nodes: [a, b], folder: FOLDER, firstPingAt };
}
