import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchContext, Benchmark, RowResult } from "../benchmark.ts";
import { apply } from "./apply.ts";
import { floods } from "./flood.ts";
import { handshakeCost } from "./handshakes.ts";
import { implementations } from "./implementations.ts";
import { memory } from "./memory.ts";
import { type Measurement, PATIENCE, type Rig } from "./rounds.ts";
import { rtt } from "./rtt.ts";
import { tcp, tcpWithoutSegmentation } from "./tcp.ts";
import { udp } from "./udp.ts";
import { createWires } from "./wires.ts";

const MEASUREMENTS: readonly Measurement[] = [
  tcp,
  tcpWithoutSegmentation,
  ...udp,
  ...rtt,
  ...memory,
  handshakeCost,
  floods,
  apply,
];

async function measure(context: BenchContext): Promise<Record<string, RowResult>> {
  const { CLOUDVLAN_LAB: tools } = context.env;
  if (tools === undefined) throw new Error("run it by `npm run bench -- wg`, which builds cvlan-lab");
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "cv-wg-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const lab = cleanup.use(await createWires(tools));
  const rig: Rig = { context, lab, tools, folder, ...implementations(context.env), patienceMs: PATIENCE };
  for (const { name, skipped } of rig.missing) context.say(`${name}: ${skipped}`);
  const results: Record<string, RowResult> = {};
  for (const { rows, run } of MEASUREMENTS) {
    if (rows.some(context.wants)) Object.assign(results, await run(rig));
  }
  return results;
}

/**
 * Our engine beside other WireGuards in user space, each with both ends of a tunnel between two network namespaces: a wire of
 * MTU 1500, a tunnel of MTU 1420. All are set by `wg` and measured in turn within each round.
 */
export const wg: Benchmark = {
  name: "wg",
  rows: {
    tcp1: { unit: "Gbit/s", better: "more" },
    tcp1_nouso: { unit: "Gbit/s", better: "more" },
    cpu: { unit: "CPU s/GB", better: "less" },
    udp1: { unit: "Gbit/s", better: "more" },
    udp64: { unit: "Gbit/s", better: "more" },
    pps64: { unit: "packets/s", better: "more" },
    rtt_idle: { unit: "µs", better: "less" },
    rtt_load: { unit: "µs", better: "less" },
    rss: { unit: "bytes", better: "less" },
    rss_peer: { unit: "bytes", better: "less" },
    rss_overload: { unit: "bytes", better: "less" },
    handshakes: { unit: "CPU s/1,000", better: "less" },
    flood: { unit: "part of goodput", better: "more" },
    apply10k: { unit: "s", better: "less" },
  },
  enclosed: true,
  run: measure,
};
