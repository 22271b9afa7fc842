import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type Lab, must } from "@cloudvlan/test/lab";
import * as z from "zod";

const IPERF_PORT = 5_201;
const SINK_PORT = 5_300;
const BITS = 8;
const GIGA = 1e9;

const IperfReport = z.object({
  end: z.object({ sum_received: z.object({ bytes: z.number(), bits_per_second: z.number() }) }),
});
const BlastReport = z.object({ sent: z.number(), seconds: z.number() });
const SinkReport = z.object({ received: z.number(), bytes: z.number() });

async function firstLine(child: ChildProcess, what: string, wanted: string): Promise<void> {
  if (!child.stdout) throw new Error(`${what} has no output`);
  for await (const line of createInterface(child.stdout)) if (line.includes(wanted)) return;
  throw new Error(`${what} ended before it listened`);
}

export interface Stream {
  readonly gbitPerSecond: number;
  readonly gigabytes: number;
}

/** One TCP flow from left to an address of right, by iperf3, for so many seconds. */
export async function tcpStream(lab: Lab, to: string, seconds: number): Promise<Stream> {
  const server = await lab.spawn("right", ["iperf3", "-s", "-1", "--forceflush", "-p", String(IPERF_PORT)], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = once(server, "exit");
  try {
    await firstLine(server, "iperf3", "listening");
    const client = ["iperf3", "-c", to, "-p", String(IPERF_PORT), "-C", "cubic", "-t", String(seconds), "-J"];
    const { bytes, bits_per_second } = IperfReport.parse(JSON.parse(await must(lab.argvOn("left", client)))).end
      .sum_received;
    return { gbitPerSecond: bits_per_second / GIGA, gigabytes: bytes / GIGA };
  } finally {
    server.kill("SIGTERM");
    await ended;
  }
}

export interface Datagrams {
  readonly size: number;
  readonly flows: number;
  /** Datagrams a second; as many as go without it. */
  readonly rate?: number;
  readonly seconds: number;
}

export interface Arrived {
  /** Datagrams a second that were sent. */
  readonly rate: number;
  /** 0 up to 1. */
  readonly loss: number;
}

/** Datagrams from left to an address of right. */
export async function datagrams(lab: Lab, program: string, to: string, what: Datagrams): Promise<Arrived> {
  const sink = await lab.spawn("right", [program, "sink", "--port", String(SINK_PORT)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (!sink.stdout) throw new Error("the sink has no output");
  const ended = once(sink, "exit");
  const lines = createInterface(sink.stdout)[Symbol.asyncIterator]();
  try {
    await lines.next();
    const argv = [program, "blast", "--to", `${to}:${SINK_PORT}`, "--size", String(what.size)];
    argv.push("--flows", String(what.flows), "--seconds", String(what.seconds));
    if (what.rate !== undefined) argv.push("--rate", String(Math.round(what.rate)));
    const { sent, seconds } = BlastReport.parse(JSON.parse(await must(lab.argvOn("left", argv))));
    sink.kill("SIGTERM");
    const { received } = SinkReport.parse(JSON.parse(String((await lines.next()).value)));
    return { rate: sent / seconds, loss: sent === 0 ? 1 : 1 - received / sent };
  } finally {
    sink.kill("SIGTERM");
    await ended;
  }
}

/** Bits a second of payload. */
export const gbitOf = (rate: number, size: number): number => (rate * size * BITS) / GIGA;

/** Round trip times of pings from left, microseconds. */
export async function pings(lab: Lab, to: string, count: number, intervalS: number): Promise<number[]> {
  const out = await must(lab.argvOn("left", ["ping", "-n", "-i", String(intervalS), "-c", String(count), to]));
  const times = [...out.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms) * 1000);
  if (times.length === 0) throw new Error(`no ping of ${to} was answered`);
  return times;
}
