import { once } from "node:events";
import { createInterface } from "node:readline";
import { start } from "./run.ts";

const MAX_PACKETS = 100_000;

/** A packet on the wire, as `cvlan-lab capture` tells it. */
export interface CapturedPacket {
  /** Microseconds since the Unix epoch. */
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

/** @param argv command line of `cvlan-lab capture` in its namespace */
export async function startCapture(argv: readonly string[]): Promise<Capture> {
  const child = await start(argv, { stdio: ["ignore", "pipe", "pipe"] });
  const { stdout, stderr } = child;
  if (!stdout || !stderr) throw new Error("the capture has no output");
  const packets: CapturedPacket[] = [];
  const { promise: listening, resolve: begun, reject } = Promise.withResolvers<void>();
  createInterface({ input: stdout }).on("line", (line) => {
    const item = JSON.parse(line) as CapturedPacket | { listening: string } | { summary: true };
    if ("listening" in item) begun();
    else if ("ethertype" in item && packets.length < MAX_PACKETS) packets.push(item);
  });
  let words = "";
  stderr.on("data", (chunk: Buffer) => (words = (words + chunk.toString()).slice(-4096)));
  const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  void closed.then(() => reject(new Error(`the capture ended before it began: ${words.trim()}`)));
  await listening;

  return {
    packets,
    stop: async () => {
      child.kill("SIGTERM");
      const [code, signal] = await closed;
      if (code !== 0) throw new Error(`the capture failed (${code ?? signal}): ${words.trim()}`);
      if (packets.length === MAX_PACKETS) throw new Error(`more than ${MAX_PACKETS} packets: stop the capture earlier`);
      return packets;
    },
  };
}
