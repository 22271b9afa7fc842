import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { start } from "./run.ts";

const PATIENCE_MS = 10_000;
const MAX_PACKETS = 100_000;

/** A packet on the wire, as `cvlan-lab capture` tells it. */
export interface CapturedPacket {
  /** Microseconds since the capture began. */
  readonly t_us: number;
  /** Number of the protocol above Ethernet; 2048 is IPv4. */
  readonly ethertype: number;
  readonly src: string | null;
  readonly dst: string | null;
  /** IP protocol number. */
  readonly proto: number | null;
  readonly sport: number | null;
  readonly dport: number | null;
  /** Bytes of the whole packet. */
  readonly len: number;
  /** Type of the WireGuard message, 1 to 4; null when the payload is none. */
  readonly wg_type: number | null;
  /** First bytes of the payload above UDP or IP, at most 64. */
  readonly head_hex: string;
}

export interface Capture {
  /** What was seen so far, in order. */
  readonly packets: readonly CapturedPacket[];
  /** Ends the capture and returns everything seen. @throws Error when the capture had failed by itself */
  stop(): Promise<readonly CapturedPacket[]>;
}

/** True once the process listens on a packet socket: before that, packets pass unseen. */
async function listens(pid: number): Promise<boolean> {
  const table = await readFile(`/proc/${pid}/net/packet`, "utf8").catch(() => "");
  return table.trim().split("\n").length > 1;
}

/** @param argv command line of `cvlan-lab capture` in its namespace */
export async function startCapture(argv: readonly string[]): Promise<Capture> {
  const child = await start(argv, { stdio: ["ignore", "pipe", "pipe"] });
  const { pid, stdout, stderr } = child;
  if (pid === undefined || !stdout || !stderr) throw new Error("the capture has no process");
  const packets: CapturedPacket[] = [];
  const lines = createInterface({ input: stdout });
  lines.on("line", (line) => {
    const packet = JSON.parse(line) as CapturedPacket | { summary: unknown };
    if ("ethertype" in packet && packets.length < MAX_PACKETS) packets.push(packet);
  });
  let words = "";
  stderr.on("data", (chunk: Buffer) => (words = (words + chunk.toString()).slice(-4096)));
  const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;

  const deadline = performance.now() + PATIENCE_MS;
  while (!(await listens(pid))) {
    if (child.exitCode !== null) throw new Error(`the capture ended at once: ${words.trim()}`);
    if (performance.now() > deadline) throw new Error(`the capture opened no packet socket: ${words.trim()}`);
    await delay(5);
  }
  return {
    packets,
    stop: async () => {
      child.kill("SIGTERM");
      const [code, signal] = await closed;
      if (code !== 0 && signal !== "SIGTERM")
        throw new Error(`the capture failed (${code ?? signal}): ${words.trim()}`);
      if (packets.length === MAX_PACKETS) throw new Error(`more than ${MAX_PACKETS} packets: stop the capture earlier`);
      return packets;
    },
  };
}
