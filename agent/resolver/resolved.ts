import { execFile } from "node:child_process";
import { readlink } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { promisify } from "node:util";
import { Refusal } from "@cloudvlan/kit/errors";
import { errnoOf } from "../state/files.ts";
import type { Names } from "./resolv-conf.ts";

const run = promisify(execFile);

/** Milliseconds for one `resolvectl`. */
const TIMEOUT_MS = 10_000;

/** Files of systemd-resolved that /etc/resolv.conf may lead to (systemd-resolved.service(8)). */
const LEADS_TO: ReadonlySet<string> = new Set([
  "/run/systemd/resolve/stub-resolv.conf",
  "/run/systemd/resolve/resolv.conf",
  "/usr/lib/systemd/resolv.conf",
  "/lib/systemd/resolv.conf",
]);

/** What an interface of the host is to resolve. */
export interface LinkNames extends Names {
  readonly interfaceName: string;
  /** Domains that are asked of the engine and not searched: reverse zones and the suffixes of DNS routes. */
  readonly routingDomains: readonly string[];
}

/** True when systemd-resolved runs and the programs of this host ask it. */
export async function resolvedIsInCharge(path: string): Promise<boolean> {
  let target: string;
  try {
    target = resolve(dirname(path), await readlink(path));
  } catch (error) {
    if (["EINVAL", "ENOENT"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
  if (!LEADS_TO.has(target)) return false;
  try {
    await run("resolvectl", ["--no-pager", "status"], { timeout: TIMEOUT_MS });
    return true;
  } catch {
    // Not installed, or not running: the file is all there is.
    return false;
  }
}

/** The commands that give a link its names, in order; the last one makes them count. */
export function linkCommands(names: LinkNames): string[][] {
  const { interfaceName: link, server, domain, routingDomains } = names;
  return [
    ["dns", link, server],
    ["default-route", link, "no"],
    ["llmnr", link, "no"],
    ["mdns", link, "no"],
    ["dnssec", link, "no"],
    ["dnsovertls", link, "no"],
    ["domain", link, domain, ...routingDomains.map((suffix) => `~${suffix}`)],
  ];
}

/** @throws Refusal with the words of `resolvectl` */
export async function applyLink(names: LinkNames): Promise<void> {
  for (const command of linkCommands(names)) await resolvectl(command);
}

/** True when the link still has our server: a restarted systemd-resolved may have forgotten it. */
export async function linkHolds(names: LinkNames): Promise<boolean> {
  const shown = await resolvectl(["dns", names.interfaceName]);
  return shown.split(/\s+/).includes(names.server);
}

/** Takes everything back. A link that is gone has taken it along. */
export async function restoreLink(interfaceName: string): Promise<void> {
  try {
    await resolvectl(["revert", interfaceName]);
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason !== "RESOLVED_NO_LINK") throw error;
  }
}

async function resolvectl(args: readonly string[]): Promise<string> {
  try {
    return (await run("resolvectl", ["--no-pager", ...args], { timeout: TIMEOUT_MS })).stdout;
  } catch (error) {
    const words = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : String(error);
    const said = words.split("\n")[0] ?? "";
    const gone = /no such device|failed to resolve interface|unknown interface/i.test(words);
    throw new Refusal("unavailable", gone ? "RESOLVED_NO_LINK" : "RESOLVED_FAILED", `resolvectl ${args[0]}: ${said}`, {
      remedy: "see `systemctl status systemd-resolved`, or set `resolver: off`",
    });
  }
}
