import { once } from "node:events";
import { createInterface } from "node:readline";
import { start } from "./run.ts";

/** How an impaired wire treats packets, in each direction. Only jitter changes their order. */
export interface WireOptions {
  /** Least time on the way, 0 to 60,000 ms. */
  readonly delayMs?: number;
  /** Most time that is added to the delay, each as likely as any other, 0 to 60,000 ms. */
  readonly jitterMs?: number;
  /** Probability that a packet is lost, 0 to 1. */
  readonly loss?: number;
  /** Probability that a packet comes twice, 0 to 1. */
  readonly duplicate?: number;
  /** Decides which packets these are: the nth packet of an IP protocol meets the same fate for the same seed. */
  readonly seed?: number;
  /** Most packets under way in a direction; what comes then is lost. */
  readonly queue?: number;
}

/** What became of the packets of one direction: `read` and `doubled` are together as many as all others. */
export interface WireCounts {
  readonly read: number;
  readonly lost: number;
  readonly doubled: number;
  /** Lost because the queue was full. */
  readonly overflowed: number;
  readonly delivered: number;
  /** Not taken by the interface, which was down. */
  readonly refused: number;
  readonly under_way: number;
}

/** Two interfaces and the process between them. */
export interface Wire {
  /**
   * Ends the wire, which takes its interfaces away.
   * @returns the counts of what came from its first end, then of what came from its second
   * @throws Error when the wire had broken
   */
  stop(): Promise<readonly [WireCounts, WireCounts]>;
}

/** The arguments of `cvlan-lab` for a wire between interfaces of these names. */
export function wireArguments(first: string, second: string, options: WireOptions): string[] {
  const values: readonly (readonly [string, number | undefined])[] = [
    ["--delay-ms", options.delayMs],
    ["--jitter-ms", options.jitterMs],
    ["--loss", options.loss],
    ["--duplicate", options.duplicate],
    ["--seed", options.seed],
    ["--queue", options.queue],
  ];
  const given = values.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]));
  return ["wire", "--ends", first, second, ...given, "--json"];
}

/** Starts `cvlan-lab wire`. Its interfaces are there when the promise resolves. @param argv the command line in its namespace */
export async function startWire(argv: readonly string[]): Promise<Wire> {
  const child = await start(argv, { stdio: ["ignore", "pipe", "pipe"] });
  const { stdout, stderr } = child;
  if (!stdout || !stderr) throw new Error("the wire has no output");
  let words = "";
  stderr.on("data", (chunk: Buffer) => (words = (words + chunk.toString()).slice(-4096)));
  const lines: string[] = [];
  const { promise: standing, resolve: begun, reject } = Promise.withResolvers<void>();
  createInterface({ input: stdout }).on("line", (line) => {
    lines.push(line);
    begun();
  });
  const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  void closed.then(() => reject(new Error(`the wire ended before it stood: ${words.trim()}`)));
  await standing;

  return {
    stop: async () => {
      child.kill("SIGTERM");
      const [code, signal] = await closed;
      if (code !== 0) throw new Error(`the wire failed (${code ?? signal}): ${words.trim()}`);
      const counts = JSON.parse(lines.at(-1) ?? "") as Record<"left_to_right" | "right_to_left", WireCounts>;
      return [counts.left_to_right, counts.right_to_left];
    },
  };
}
