import { execFile } from "node:child_process";
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

/** Whether this host's own firewall lets peers in, as far as its rules say it plainly. */
export async function checkFirewall({ engine }: LocalNode): Promise<Check> {
  const port = engine.status.get()?.listenPort ?? 0;
  if (port === 0) return skipped("firewall", "the engine has no port yet");
  let shown: string;
  try {
    ({ stdout: shown } = await run("nft", ["-j", "list", "ruleset"], {
      timeout: COMMAND_TIMEOUT_MS,
      maxBuffer: MAX_OUTPUT,
    }));
  } catch {
    return skipped("firewall", "`nft` is not installed or may not be asked");
  }
  if (!dropsPort(JSON.parse(shown), port)) return ok("firewall", `no rule of this host plainly stops UDP port ${port}`);
  return warn(
    "firewall",
    `the firewall of this host drops by default and no rule names UDP port ${port}: peers may not get in`,
    `nft add rule inet filter input udp dport ${port} accept`,
  );
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
