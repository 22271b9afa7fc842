import { must } from "@cloudvlan/test/lab";
import * as z from "zod";
import { cpuSeconds } from "../process.ts";
import { interleaved, type Measurement, type Rig } from "./rounds.ts";
import { type Caller, type Device, PORT, startTunnel } from "./tunnel.ts";
import { RIGHT_FROM_CROWD } from "./wires.ts";

/**
 * Below what makes wireguard-go ask for cookies: 128 initiations that wait. boringtun and gotatun ask for them at 100 a second,
 * which the initiators answer at once.
 */
const RATE = 400;
const CALLERS = 400;
const COUNT = { full: 4_000, quick: 2_000 };
const THOUSAND = 1_000;
/** The part of the handshakes that must be done for their cost to mean anything. */
const ENOUGH = 0.9;
const BYTE = 256;

const Report = z.object({
  offered: z.number(),
  completed: z.number(),
  cookies: z.number(),
  first_ms: z.number().nullable(),
});
export type HandshakesReport = z.infer<typeof Report>;

/** Who calls: peers without endpoints, each with an address of its own. */
export async function strangers({ tools }: Rig, count: number): Promise<Caller[]> {
  const keys = (await must([tools, "peers", "--count", String(count)])).trim().split("\n");
  return keys.map((publicKey, n) => ({
    publicKey,
    address: `10.100.${Math.floor(n / BYTE)}.${n % BYTE}`,
  }));
}

/** Lets strangers of the crowd begin handshakes with the right end. */
export async function handshakes(
  { lab, tools }: Rig,
  { publicKey }: Device,
  what: { readonly peers: number; readonly count: number; readonly rate: number },
): Promise<HandshakesReport> {
  const argv = [tools, "handshakes", "--to", `${RIGHT_FROM_CROWD}:${PORT}`, "--key", publicKey];
  for (const [name, value] of Object.entries(what)) argv.push(`--${name}`, String(value));
  return Report.parse(JSON.parse(await must(lab.argvOn("crowd", argv))));
}

/** Processor time of the responder for a thousand handshakes that were done. */
export const handshakeCost: Measurement = {
  rows: ["handshakes"],
  run: async (rig) => {
    const count = rig.context.quick ? COUNT.quick : COUNT.full;
    const contestants = rig.present.map((implementation) => ({
      name: implementation.name,
      measure: async () => {
        await using tunnel = await startTunnel(rig.lab, implementation, rig.folder);
        const { right } = tunnel;
        await right.configure(await strangers(rig, CALLERS));
        const before = await cpuSeconds(right.pid);
        const { completed, cookies } = await handshakes(rig, right, { peers: CALLERS, count, rate: RATE });
        const used = (await cpuSeconds(right.pid)) - before;
        if (completed < count * ENOUGH) throw new Error(`${completed} of ${count} handshakes were done`);
        return { cost: (used * THOUSAND) / completed, cookies };
      },
    }));
    const taken = await interleaved(rig, "handshakes, CPU s per 1,000/cookies", contestants);
    return { handshakes: taken.row("cost", { details: { offered_per_second: RATE } }) };
  },
};
