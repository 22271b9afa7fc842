import { setTimeout as delay } from "node:timers/promises";
import { residentBytes } from "../process.ts";
import { handshakes, strangers } from "./handshakes.ts";
import { type Contestant, interleaved, type Measurement, type Rig } from "./rounds.ts";
import { INNER, startTunnel, type Tunnel } from "./tunnel.ts";
import { datagrams, tcpStream } from "./traffic.ts";

/** Each round loads for a minute: few rounds, since memory varies little. */
const ROUNDS = { full: 3, quick: 1 };
const LOAD_S = { full: 60, quick: 15 };
const SETTLE_S = 5;
const CALLERS = 1_000;
const CALLERS_PER_SECOND = 200;
const REST_MS = 1_000;

const roundsOf = ({ context }: Rig): number => (context.quick ? ROUNDS.quick : ROUNDS.full);
const secondsOf = ({ context }: Rig): number => (context.quick ? LOAD_S.quick : LOAD_S.full);

/** Of the end that has more. */
async function most({ left, right }: Tunnel): Promise<number> {
  return Math.max(await residentBytes(left.pid), await residentBytes(right.pid));
}

function contestants(rig: Rig, measure: (tunnel: Tunnel) => Promise<number>): Contestant[] {
  return rig.present.map((implementation) => ({
    name: implementation.name,
    measure: async () => {
      await using tunnel = await startTunnel(rig.lab, implementation, rig.folder);
      return { bytes: await measure(tunnel) };
    },
  }));
}

/** As many small datagrams of many flows as a sender gets out: far more than can be carried. */
async function overload({ lab, tools }: Rig, seconds: number): Promise<void> {
  await datagrams(lab, tools, INNER.right, { size: 64, flows: 64, seconds });
}

async function growth(rig: Rig, tunnel: Tunnel): Promise<number> {
  await overload(rig, SETTLE_S);
  const before = await most(tunnel);
  await overload(rig, secondsOf(rig));
  return (await most(tunnel)) - before;
}

/** What each peer with a session costs that does nothing. */
async function perPeer(rig: Rig, { right }: Tunnel): Promise<number> {
  const before = await residentBytes(right.pid);
  await right.configure(await strangers(rig, CALLERS));
  const { completed } = await handshakes(rig, right, { peers: CALLERS, count: CALLERS, rate: CALLERS_PER_SECOND });
  if (completed < CALLERS) throw new Error(`${completed} of ${CALLERS} handshakes were done`);
  await delay(REST_MS);
  return ((await residentBytes(right.pid)) - before) / CALLERS;
}

export const memory: readonly Measurement[] = [
  {
    rows: ["rss"],
    run: async (rig) => {
      const measure = async (tunnel: Tunnel): Promise<number> => {
        await tcpStream(rig.lab, INNER.right, secondsOf(rig));
        return most(tunnel);
      };
      const taken = await interleaved(rig, "rss, bytes", contestants(rig, measure), roundsOf(rig));
      return { rss: taken.row("bytes", { details: { seconds: secondsOf(rig) } }) };
    },
  },
  {
    rows: ["rss_peer"],
    run: async (rig) => {
      const taken = await interleaved(
        rig,
        "rss_peer, bytes",
        contestants(rig, (tunnel) => perPeer(rig, tunnel)),
        roundsOf(rig),
      );
      return { rss_peer: taken.row("bytes", { details: { peers: CALLERS } }) };
    },
  },
  {
    rows: ["rss_overload"],
    run: async (rig) => {
      const taken = await interleaved(
        rig,
        "rss_overload, bytes",
        contestants(rig, (tunnel) => growth(rig, tunnel)),
        roundsOf(rig),
      );
      return { rss_overload: taken.row("bytes", { details: { seconds: secondsOf(rig) } }) };
    },
  },
];
