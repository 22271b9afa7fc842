import { interleaved, type Measurement, type Rig } from "./rounds.ts";
import { datagrams, gbitOf } from "./traffic.ts";
import { INNER, startTunnel } from "./tunnel.ts";

const SIZE = 1200;
const SMALL = 64;
/** What does not count as loss. */
const LOSS = 0.001;
const LEAST_RATE = 2_000;
const MOST_RATE = 2_000_000;
/** A search ends when the next rate is so near. */
const NEAR = 1.06;
const STEP = 1.6;
/** The part of a rate that a sender must get out, who has to share the processors with the tunnel. What it got out is the figure. */
const REACHED = 0.8;
const SECONDS = { full: 1.5, quick: 1 };

/**
 * The highest of the rates that were tried at which next to nothing is lost: up in steps from where it began, then by
 * halves. A rate that lost something is tried once more: a processor that others had for a moment says nothing of it.
 */
export async function highestRate(start: number, lossAt: (rate: number) => Promise<number>): Promise<number> {
  const holds = async (rate: number): Promise<boolean> => (await lossAt(rate)) < LOSS || (await lossAt(rate)) < LOSS;
  let good = 0;
  let bad = MOST_RATE;
  for (let rate = start; rate > LEAST_RATE && rate < bad;) {
    if (await holds(rate)) {
      good = rate;
      rate *= STEP;
    } else {
      bad = rate;
      if (good > 0) break;
      rate /= STEP;
    }
  }
  while (good > 0 && bad / good > NEAR) {
    const rate = Math.sqrt(good * bad);
    if (await holds(rate)) good = rate;
    else bad = rate;
  }
  return good;
}

interface Kind {
  readonly row: string;
  readonly size: number;
  readonly flows: number;
  readonly figure: (rate: number) => number;
}

async function measure(rig: Rig, { row, size, flows, figure }: Kind) {
  const seconds = rig.context.quick ? SECONDS.quick : SECONDS.full;
  const starts = new Map<string, number>();
  const contestants = rig.present.map((implementation) => ({
    name: implementation.name,
    measure: async () => {
      await using tunnel = await startTunnel(rig.lab, implementation, rig.folder);
      void tunnel;
      const sent = new Map<number, number>();
      const lossAt = async (rate: number): Promise<number> => {
        const arrived = await datagrams(rig.lab, rig.tools, INNER.right, { size, flows, rate, seconds });
        sent.set(rate, arrived.rate);
        return arrived.rate < rate * REACHED ? 1 : arrived.loss;
      };
      const found = await highestRate(starts.get(implementation.name) ?? 20_000, lossAt);
      starts.set(implementation.name, Math.max(found / STEP, LEAST_RATE * 2));
      return { rate: figure(sent.get(found) ?? 0) };
    },
  }));
  const taken = await interleaved(rig, row, contestants);
  return { [row]: taken.row("rate", { details: { bytes: size, flows } }) };
}

const inGbit = (rate: number): number => gbitOf(rate, SIZE);
const KINDS: readonly Kind[] = [
  { row: "udp1", size: SIZE, flows: 1, figure: inGbit },
  { row: "udp64", size: SIZE, flows: 64, figure: inGbit },
  { row: "pps64", size: SMALL, flows: 1, figure: (rate) => rate },
];

/** Datagrams in the tunnel: the highest fixed rate with under 0.1 % loss. */
export const udp: readonly Measurement[] = KINDS.map((kind) => ({
  rows: [kind.row],
  run: (rig) => measure(rig, kind),
}));
