import { median, quantile } from "../benchmark.ts";
import {
  type Contestant,
  type Details,
  type Figures,
  interleaved,
  type Measurement,
  type Rig,
  type Taken,
} from "./rounds.ts";
import { INNER, startTunnel } from "./tunnel.ts";
import { pings, tcpStream } from "./traffic.ts";
import { ADDRESS } from "./wires.ts";

const WIRE = "wire";
const INTERVAL_S = 0.005;
const COUNT = { full: 600, quick: 300 };
/** Of pings that the kernel answers at once, before they are counted: the first finds caches cold. */
const WARM_UP = 20;
const P99 = 0.99;

async function timesTo(rig: Rig, address: string): Promise<{ p50: number; p99: number }> {
  const count = rig.context.quick ? COUNT.quick : COUNT.full;
  const times = (await pings(rig.lab, address, count + WARM_UP, INTERVAL_S)).slice(WARM_UP);
  return { p50: median(times), p99: quantile(times, P99) };
}

/** Pings beside one TCP flow the same way, which fills the queues. */
async function timesUnderLoad(rig: Rig, address: string): Promise<{ p50: number; p99: number }> {
  const count = rig.context.quick ? COUNT.quick : COUNT.full;
  const seconds = Math.ceil((count + WARM_UP) * INTERVAL_S) + 1;
  const [times] = await Promise.all([timesTo(rig, address), tcpStream(rig.lab, address, seconds)]);
  return times;
}

function contestants(rig: Rig, measure: (rig: Rig, address: string) => Promise<Figures>): Contestant[] {
  return [
    { name: WIRE, measure: () => measure(rig, ADDRESS.right) },
    ...rig.present.map((implementation) => ({
      name: implementation.name,
      measure: async () => {
        await using tunnel = await startTunnel(rig.lab, implementation, rig.folder);
        void tunnel;
        return await measure(rig, INNER.right);
      },
    })),
  ];
}

/** The other quantile of each, so that the line tells both. */
function other(rig: Rig, taken: Taken, figure: string, beyond?: string): Details {
  const names = rig.present.map(({ name }) => name).filter((name) => taken.of(name, figure, beyond).length > 0);
  return Object.fromEntries(names.map((name) => [`${figure}_${name}`, median(taken.of(name, figure, beyond))]));
}

/** What a ping takes through the tunnel: idle, beyond what it takes over the wire; and beside a TCP flow. */
export const rtt: readonly Measurement[] = [
  {
    rows: ["rtt_idle"],
    run: async (rig) => {
      const taken = await interleaved(rig, "rtt_idle, µs p50/p99", contestants(rig, timesTo));
      return { rtt_idle: taken.row("p50", { beyond: WIRE, details: other(rig, taken, "p99", WIRE) }) };
    },
  },
  {
    rows: ["rtt_load"],
    run: async (rig) => {
      const taken = await interleaved(rig, "rtt_load, µs p50/p99", contestants(rig, timesUnderLoad));
      return { rtt_load: taken.row("p99", { details: other(rig, taken, "p50") }) };
    },
  },
];
