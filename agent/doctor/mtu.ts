import { execFile } from "node:child_process";
import { lookup } from "node:dns/promises";
import { promisify } from "node:util";
import type { Check } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import type { EngineStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { ok, skipped, warn } from "@cloudvlan/kit/diagnose";
import type { LocalNode } from "../api/node.ts";
import { wholeStatus } from "../engine/whole.ts";
import { listed } from "./words.ts";

const run = promisify(execFile);
/** Milliseconds: the engine waits half a second for word of each of at most eight packets. */
const PROBE_TIMEOUT_MS = 8_000;
/** Bytes that the tunnel adds to a packet: IP and UDP headers, and 32 of WireGuard (message type 4). */
const OVERHEAD = { 4: 20 + 8 + 32, 6: 40 + 8 + 32 } as const;
/** Ways that are probed. */
const MAX_WAYS = 8;
/** Bytes that IPv6 asks of every link (RFC 8200 section 5). */
const MIN_OVERLAY_MTU = 1_280;
const HTTPS_PORT = 443;

/** Where a packet goes. */
interface Destination {
  readonly address: string;
  readonly port: number;
  /** Bytes of the largest packet inside the tunnel that the engine found the way to carry; 0 when it looked for none. */
  readonly carried: number;
}

/** Whether packets of the overlay fit into those of the underlay: probed with packets that no router may cut up, and as the engine found it. */
export async function checkMtu(node: LocalNode): Promise<Check> {
  const status = await wholeStatus(node.engine);
  if (!status?.mtu) return skipped("mtu", "the engine has no interface yet");
  const destinations = await destinationsOf(node, status);
  if (destinations.length === 0)
    return skipped("mtu", `the overlay's is ${status.mtu}; there is nobody to probe a way to`);
  const ways = await Promise.all(
    destinations.map(async (to) => {
      const size = status.mtu + overheadTo(to);
      const takes = await probed(node.config.engine, to, size);
      const found = to.carried > 0 ? to.carried + overheadTo(to) : Infinity;
      return { to, size, takes: takes === undefined || found >= size ? takes : Math.min(takes, found) };
    }),
  );
  return verdictOf(status.mtu, ways);
}

/** A way that was probed with packets of `size` bytes; what it takes is unknown when no packet could be sent. */
export interface Way {
  readonly to: Pick<Destination, "address">;
  readonly size: number;
  readonly takes: number | undefined;
}

export function verdictOf(mtu: number, ways: readonly Way[]): Check {
  const known = ways.flatMap(({ to, size, takes }) => (takes === undefined ? [] : [{ to, size, takes }]));
  if (known.length === 0) return skipped("mtu", "this host reaches none of those whose way could be probed");
  const narrowest = Math.min(...known.map(({ takes }) => takes));
  const tight = known.filter(({ size, takes }) => size > takes);
  if (tight.length === 0) return ok("mtu", `${mtu} fits: of ${known.length} ways the narrowest takes ${narrowest}`);
  const fitting = narrowest - OVERHEAD[6];
  return warn(
    "mtu",
    `packets of ${mtu} bytes do not fit the way to ${listed(tight.map(({ to, takes }) => `${to.address} (${takes})`))}: smaller ones have to be sent there`,
    fitting >= MIN_OVERLAY_MTU
      ? `set \`mtu: ${fitting}\` for the agent`
      : `raise the MTU of the narrowest hop on that way to at least ${MIN_OVERLAY_MTU + OVERHEAD[6]}`,
  );
}

/** Peers where the engine reaches them; while there is none, the controller, which is beyond the same first hops. */
async function destinationsOf({ membership }: LocalNode, { peers }: EngineStatus): Promise<readonly Destination[]> {
  const ends = peers.flatMap(({ endpoint, pathMtu }) =>
    endpoint ? [{ address: endpoint.address, port: endpoint.port, carried: pathMtu }] : [],
  );
  const url = membership.get()?.controller_url;
  if (ends.length > 0 || url === undefined) return ends.slice(0, MAX_WAYS);
  const { hostname, port } = new URL(url);
  const { address } = await lookup(hostname.replace(/^\[|\]$/g, ""));
  return [{ address, port: Number(port || HTTPS_PORT), carried: 0 }];
}

async function probed(engine: string, to: Destination, size: number): Promise<number | undefined> {
  const at = `${to.address.includes(":") ? `[${to.address}]` : to.address}:${to.port}`;
  try {
    const { stdout } = await run(engine, ["path-mtu", "--bytes", String(size), at], { timeout: PROBE_TIMEOUT_MS });
    return Number(stdout);
  } catch {
    // No way there, from this host or in this family: another check tells of it.
    return undefined;
  }
}

function overheadTo({ address }: Destination): number {
  return OVERHEAD[address.includes(":") ? 6 : 4];
}
