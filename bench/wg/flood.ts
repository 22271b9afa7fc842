import { must } from "@cloudvlan/test/lab";
import { median } from "../benchmark.ts";
import { handshakes, strangers } from "./handshakes.ts";
import { OURS } from "./implementations.ts";
import { interleaved, type Measurement, type Rig } from "./rounds.ts";
import { INNER, PORT, startTunnel, type Tunnel } from "./tunnel.ts";
import { tcpStream } from "./traffic.ts";
import { RIGHT_FROM_CROWD, STRANGERS } from "./wires.ts";

/** Spoofed initiations a second. */
const RATE = 5_000;
const SECONDS = { full: 6, quick: 4 };
/** Nobody listens there. */
const CLOSED_PORT = 9;
/** The flood begins a little before what it disturbs and ends after it. */
const MARGIN_S = 1;
const TRIES = 10;

function flood({ lab, tools }: Rig, key: string, port: number, seconds: number): Promise<string> {
  const argv = [tools, "spoof", "--to", `${RIGHT_FROM_CROWD}:${port}`, "--key", key, "--from", STRANGERS];
  argv.push("--rate", String(RATE), "--seconds", String(seconds));
  return must(lab.argvOn("crowd", argv));
}

/** Gbit/s of one TCP flow in the tunnel while a flood comes to a port of the right end. */
async function goodput(rig: Rig, { right }: Tunnel, port: number): Promise<number> {
  const seconds = rig.context.quick ? SECONDS.quick : SECONDS.full;
  const [stream] = await Promise.all([
    tcpStream(rig.lab, INNER.right, seconds),
    flood(rig, right.publicKey, port, seconds + MARGIN_S),
  ]);
  return stream.gbitPerSecond;
}

/** Milliseconds until somebody who has no session yet has one, during a flood; a try each second. */
async function newHandshake(rig: Rig, { right }: Tunnel): Promise<number> {
  const [report] = await Promise.all([
    handshakes(rig, right, { peers: 1, count: TRIES, rate: 1 }),
    flood(rig, right.publicKey, PORT, TRIES + MARGIN_S),
  ]);
  if (report.first_ms === null) throw new Error(`no new handshake within ${TRIES} s of a flood`);
  return report.first_ms;
}

/** An established session under a flood of initiations whose first MAC holds, beside the same flood to a closed port. */
export const floods: Measurement = {
  rows: ["flood"],
  run: async (rig) => {
    const contestants = rig.present.map((implementation) => ({
      name: implementation.name,
      measure: async () => {
        await using tunnel = await startTunnel(rig.lab, implementation, rig.folder);
        await tunnel.right.configure(await strangers(rig, 1));
        const closed = await goodput(rig, tunnel, CLOSED_PORT);
        const open = await goodput(rig, tunnel, PORT);
        return { part: open / closed, handshake: await newHandshake(rig, tunnel) };
      },
    }));
    const taken = await interleaved(rig, "flood, part of goodput/new handshake ms", contestants);
    const waits = taken.of(OURS, "handshake");
    const handshake = waits.length === 0 ? {} : { new_handshake_ms: median(waits) };
    return { flood: taken.row("part", { details: { initiations_per_second: RATE, ...handshake } }) };
  },
};
