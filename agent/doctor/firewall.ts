import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import * as z from "zod";
import type { Check } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { ok, skipped, warn } from "@cloudvlan/kit/diagnose";
import type { LocalNode } from "../api/node.ts";

const run = promisify(execFile);
const COMMAND_TIMEOUT_MS = 5_000;
const MAX_OUTPUT = 16 * 1_024 * 1_024;

const ruleset = z.object({
  nftables: z.array(
    z.object({
      chain: z.object({ hook: z.string().optional(), policy: z.string().optional() }).optional(),
      rule: z.unknown().optional(),
    }),
  ),
});

/** One of the kernel's sets of rules. */
interface Firewall {
  readonly list: readonly [command: string, ...args: string[]];
  /** File that names the tables in use; absent where listing the rules makes none. */
  readonly tables?: string;
  /** Whether a packet to the UDP port is plainly dropped, by what `list` prints. */
  drops(listing: string, port: number): boolean;
  remedy(port: number): string;
}

const iptables = (command: string, tables: string): Firewall => ({
  list: [command, "-S"],
  tables,
  drops: dropsPortOfIptables,
  remedy: (port) => `${command} -I INPUT -p udp --dport ${port} -j ACCEPT`,
});
const FIREWALLS: readonly Firewall[] = [
  {
    list: ["nft", "-j", "list", "ruleset"],
    drops: (listing, port) => dropsPort(JSON.parse(listing), port),
    remedy: (port) => `nft add rule inet filter input udp dport ${port} accept`,
  },
  // The newer `iptables` writes nftables.
  iptables("iptables-legacy", "/proc/net/ip_tables_names"),
  iptables("ip6tables-legacy", "/proc/net/ip6_tables_names"),
];

/** Whether this host's own firewall lets peers in, as far as its rules say it plainly. */
export async function checkFirewall({ engine }: LocalNode): Promise<Check> {
  const port = engine.status.get()?.listenPort ?? 0;
  if (port === 0) return skipped("firewall", "the engine has no port yet");
  const listings = await Promise.all(FIREWALLS.map(async (firewall) => ({ firewall, shown: await listed(firewall) })));
  const known = listings.flatMap(({ firewall, shown }) => (shown === undefined ? [] : [{ firewall, shown }]));
  if (known.length === 0) return skipped("firewall", "`nft` is not installed or may not be asked");
  const dropping = known.find(({ firewall, shown }) => firewall.drops(shown, port));
  if (!dropping) return ok("firewall", `no rule of this host plainly stops UDP port ${port}`);
  return warn(
    "firewall",
    `the firewall of this host (${dropping.firewall.list[0]}) drops by default and no rule names UDP port ${port}: peers may not get in`,
    dropping.firewall.remedy(port),
  );
}

/** What a firewall's own program prints; undefined where it is not installed, may not be asked or has nothing to say. */
async function listed({ list: [command, ...args], tables }: Firewall): Promise<string | undefined> {
  try {
    // Asked for rules, the program would make the table that it does not find.
    if (tables !== undefined && !(await readFile(tables, "utf8")).split("\n").includes("filter")) return undefined;
    return (await run(command, args, { timeout: COMMAND_TIMEOUT_MS, maxBuffer: MAX_OUTPUT })).stdout;
  } catch {
    return undefined;
  }
}

/**
 * Whether a chain of the hook `input` drops by default and nothing in the rules names the port (libnftables-json(5)).
 * Sets, maps and ranges are not followed: a port that only these name is taken for unnamed.
 */
export function dropsPort(listing: unknown, port: number): boolean {
  const { nftables } = ruleset.parse(listing);
  const drops = nftables.some(({ chain }) => chain?.hook === "input" && chain.policy === "drop");
  return drops && !nftables.some(({ rule }) => rule !== undefined && holds(rule, port));
}

function holds(value: unknown, port: number): boolean {
  if (value === port) return true;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some((each) => holds(each, port));
}

/** The same by what `iptables -S` prints (iptables(8)): the policy of INPUT, and ports and ranges of `--dport` and `--dports`. */
export function dropsPortOfIptables(listing: string, port: number): boolean {
  const lines = listing.split("\n");
  if (!lines.includes("-P INPUT DROP")) return false;
  const ranges = lines.flatMap((line) => / --dports? (\S+)/.exec(line)?.[1]?.split(",") ?? []);
  return !ranges.some((range) => {
    const [first = "", last = first] = range.split(":");
    return Number(first) <= port && port <= Number(last);
  });
}
