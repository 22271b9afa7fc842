import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { promisify } from "node:util";
import type { Check } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { type EngineStatus, InterfaceKind } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Prefix } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { fail, ok, skipped, warn } from "@cloudvlan/kit/diagnose";
import { formatPrefix, overlaps, parseCidr, prefixOf } from "@cloudvlan/kit/net";
import * as z from "zod";
import type { LocalNode } from "../api/node.ts";
import { listed } from "./words.ts";

const run = promisify(execFile);
const COMMAND_TIMEOUT_MS = 5_000;
const MAX_OUTPUT = 16 * 1_024 * 1_024;
const routes = z.array(z.object({ dst: z.string(), dev: z.string().optional() }));

/** Whether the engine's UDP port is open on this host. */
export async function checkPort({ engine }: LocalNode): Promise<Check> {
  const port = engine.status.get()?.listenPort ?? 0;
  if (port === 0) return skipped("udp-port", "the engine has no port yet");
  const tables = await Promise.all(
    ["/proc/net/udp", "/proc/net/udp6"].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  if (tables.every((table) => table === "")) return skipped("udp-port", "/proc/net/udp cannot be read");
  if (tables.some((table) => holdsPort(table, port))) return ok("udp-port", `UDP port ${port} is open`);
  return fail(
    "udp-port",
    `nobody holds UDP port ${port} here`,
    "restart the agent in the network namespace of the engine",
  );
}

/** Reads the second column of `/proc/net/udp`: local address and port in hexadecimal (proc(5)). */
export function holdsPort(table: string, port: number): boolean {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  return table
    .split("\n")
    .slice(1)
    .some((line) => line.trim().split(/\s+/)[1]?.split(":")[1] === wanted);
}

/** Whether something else on this host uses addresses of the overlay: another VPN, or a network of the same range. */
export async function checkOverlaps({ engine }: LocalNode): Promise<Check> {
  const status = engine.status.get();
  if (!status || status.routes.length === 0) return skipped("overlap", "the engine has no routes yet");
  const others = addressesBeside(networkInterfaces(), status);
  const shown = status.interfaceKind === InterfaceKind.USERSPACE ? [] : await routesBeside(status);
  const found = [...others, ...shown];
  if (found.length === 0) return ok("overlap", "no other interface or route uses addresses of the overlay");
  return warn(
    "overlap",
    `also used here: ${listed(found)}`,
    "leave the other network, or give this network another pool (`cvlan cvlan create --ipv4-pool`)",
  );
}

/** Addresses of other interfaces that lie where packets of the overlay go. */
export function addressesBeside(
  interfaces: Readonly<Partial<Record<string, readonly NetworkInterfaceInfo[]>>>,
  { interfaceName, addresses, routes: overlay }: Pick<EngineStatus, "interfaceName" | "addresses" | "routes">,
): string[] {
  const ranges = [...addresses, ...overlay].filter(({ length }) => length > 0);
  return Object.entries(interfaces)
    .filter(([name]) => name !== interfaceName)
    .flatMap(([name, infos]) =>
      (infos ?? []).flatMap(({ cidr, internal }) => (internal || !cidr ? [] : { name, cidr })),
    )
    .filter(({ cidr }) => overlapsAny(cidr, ranges))
    .map(({ name, cidr }) => `${cidr} on ${name}`);
}

async function routesBeside({ interfaceName, routes: overlay }: EngineStatus): Promise<string[]> {
  const tables = await Promise.all((["-4", "-6"] as const).map((family) => ip([family, "route", "show"])));
  return tables
    .flatMap((table) => routes.parse(table))
    .filter(({ dst, dev }) => dst !== "default" && dev !== undefined && dev !== interfaceName)
    .map(({ dst, dev }) => ({ dst: withLength(dst), dev }))
    .filter(({ dst }) =>
      overlapsAny(
        dst,
        overlay.filter(({ length }) => length > 0),
      ),
    )
    .map(({ dst, dev }) => `route ${dst} by ${dev}`);
}

function overlapsAny(cidr: string, ranges: readonly Prefix[]): boolean {
  const parsed = parseCidr(cidr);
  if (!parsed) return false;
  const range = prefixOf(parsed.address, parsed.length);
  return ranges.some((each) => overlaps(each, range));
}

/** `ip` leaves the length off the route to one host. */
function withLength(destination: string): string {
  if (destination.includes("/")) return destination;
  return `${destination}/${destination.includes(":") ? 128 : 32}`;
}

/** Whether this host forwards what peers send to the networks behind it. */
export async function checkForwarding({ engine }: LocalNode): Promise<Check> {
  const own = engine.status.get()?.ownRoutes ?? [];
  if (own.length === 0) return skipped("forwarding", "this node has no networks behind it");
  const families = new Set(own.map(({ address }) => (address.length === 4 ? "ipv4" : "ipv6")));
  const off: string[] = [];
  for (const family of families) {
    const key = family === "ipv4" ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
    if ((await readFile(`/proc/sys/${key}`, "utf8")).trim() !== "1") off.push(key.replaceAll("/", "."));
  }
  const found = `this node is the way to ${listed(own.map(formatPrefix))}`;
  if (off.length === 0) return ok("forwarding", `${found}, and forwards`);
  return fail("forwarding", `${found}, and does not forward`, off.map((key) => `sysctl -w ${key}=1`).join("; "));
}

async function ip(args: readonly string[]): Promise<unknown> {
  const { stdout } = await run("ip", ["-j", ...args], { timeout: COMMAND_TIMEOUT_MS, maxBuffer: MAX_OUTPUT });
  return JSON.parse(stdout.trim() || "[]");
}
