import { median, type RowResult } from "../benchmark.ts";
import { cpuSeconds } from "../process.ts";
import { aeadGbitPerSecond, forwarded } from "./controls.ts";
import { type Contestant, type Figures, interleaved, type Measurement, type Rig, type Taken } from "./rounds.ts";
import { INNER, startTunnel } from "./tunnel.ts";
import { tcpStream } from "./traffic.ts";
import { ADDRESS, setUdpSegmentation } from "./wires.ts";

const SECONDS = { full: 5, quick: 3 };
const FORWARDER = "forwarder";
const AEAD = "aead";
const WIRE = "wire";

const secondsOf = ({ context }: Rig): number => (context.quick ? SECONDS.quick : SECONDS.full);

function tunnels(rig: Rig): Contestant[] {
  return rig.present.map((implementation) => ({
    name: implementation.name,
    measure: async (): Promise<Figures> => {
      await using tunnel = await startTunnel(rig.lab, implementation, rig.folder);
      const used = async (): Promise<number> =>
        (await cpuSeconds(tunnel.left.pid)) + (await cpuSeconds(tunnel.right.pid));
      const before = await used();
      const { gbitPerSecond, gigabytes } = await tcpStream(rig.lab, INNER.right, secondsOf(rig));
      return { speed: gbitPerSecond, cpu: ((await used()) - before) / gigabytes };
    },
  }));
}

function controls(rig: Rig): Contestant[] {
  const speed = async (gbitPerSecond: Promise<number>): Promise<Figures> => ({ speed: await gbitPerSecond });
  const wire = async (): Promise<number> => (await tcpStream(rig.lab, ADDRESS.right, secondsOf(rig))).gbitPerSecond;
  return [
    { name: WIRE, measure: () => speed(wire()) },
    { name: FORWARDER, measure: () => speed(forwarded(rig, secondsOf(rig))) },
    { name: AEAD, measure: () => speed(aeadGbitPerSecond(rig)) },
  ];
}

/** What nobody can pass who copies as the forwarder does and enciphers each byte once on the way. */
function ceilingOf(taken: Taken): number[] {
  const aead = taken.of(AEAD, "speed");
  return taken.of(FORWARDER, "speed").flatMap((forwarder, round) => {
    const cipher = aead[round];
    return cipher === undefined ? [] : [1 / (1 / forwarder + 1 / cipher)];
  });
}

function rowOf(taken: Taken): RowResult {
  const details = Object.fromEntries(
    [WIRE, FORWARDER, AEAD].flatMap((name) => {
      const figures = taken.of(name, "speed");
      return figures.length === 0 ? [] : [[name, median(figures)]];
    }),
  );
  const row = taken.row("speed", { details });
  const ceiling = ceilingOf(taken);
  return "skipped" in row || ceiling.length === 0 ? row : { ...row, ceiling };
}

/** One TCP flow, and the processor time of both ends for each gigabyte of it. */
export const tcp: Measurement = {
  rows: ["tcp1", "cpu"],
  run: async (rig) => {
    const taken = await interleaved(rig, "tcp1, Gbit/s and CPU s/GB", [...tunnels(rig), ...controls(rig)]);
    return { tcp1: rowOf(taken), cpu: taken.row("cpu") };
  },
};

/** The same where the wire takes each datagram by itself, as plain network cards do. */
export const tcpWithoutSegmentation: Measurement = {
  rows: ["tcp1_nouso"],
  run: async (rig) => {
    await setUdpSegmentation(rig.lab, false);
    try {
      const taken = await interleaved(rig, "tcp1_nouso, Gbit/s and CPU s/GB", [...tunnels(rig), ...controls(rig)]);
      return { tcp1_nouso: rowOf(taken) };
    } finally {
      await setUdpSegmentation(rig.lab, true);
    }
  },
};
