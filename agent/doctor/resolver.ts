import { execFile } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { Check } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { codeOf, fail, ok, skipped, warn } from "@cloudvlan/kit/diagnose";
import type { LocalNode } from "../api/node.ts";

const run = promisify(execFile);
const COMMAND_TIMEOUT_MS = 5_000;
const ANSWER_TIMEOUT_MS = 2_000;
/** Where systemd-resolved answers (systemd-resolved.service(8)). */
const STUBS: ReadonlySet<string> = new Set(["127.0.0.53", "127.0.0.54"]);

/** Whether names of the overlay are answered here, and whether this host asks there. */
export async function checkResolver(node: LocalNode): Promise<Check> {
  const status = node.engine.status.get();
  const dns = status?.dns;
  if (!status || !dns) return skipped("resolver", "names of the overlay are not served here");
  if (dns.error) return fail("resolver", dns.error, "free that address and port, or see the engine's log");
  if (!dns.listen) return skipped("resolver", "names of the overlay are not served here");
  const { address, port } = dns.listen;
  const answer = await asked(address, port, `${status.name}.${dns.domain}`);
  if (answer !== undefined) {
    return fail(
      "resolver",
      `${address} port ${port} does not answer for ${dns.domain}: ${answer}`,
      "see the engine's log",
    );
  }
  const asks = nameserversIn(await readFile("/etc/resolv.conf", "utf8").catch(() => ""));
  const served = `${dns.domain} is answered at ${address} port ${port}`;
  if (asks.includes(address)) return ok("resolver", `${served}, and /etc/resolv.conf asks there`);
  if (asks.some((each) => STUBS.has(each)) && (await resolvedAsks(status.interfaceName, address))) {
    return ok("resolver", `${served}, and systemd-resolved asks there`);
  }
  return warn(
    "resolver",
    `${served}, and this host asks ${asks.join(", ") || "nobody"}`,
    "another program may have rewritten /etc/resolv.conf: see `cvlan status`; names work with that address as resolver",
  );
}

async function asked(address: string, port: number, name: string): Promise<string | undefined> {
  const resolver = new Resolver({ timeout: ANSWER_TIMEOUT_MS, tries: 2 });
  resolver.setServers([`${address.includes(":") ? `[${address}]` : address}:${port}`]);
  try {
    await resolver.resolve4(name);
    return undefined;
  } catch (error) {
    // No IPv4 address under the name is an answer too.
    return codeOf(error) === "ENODATA" ? undefined : codeOf(error);
  }
}

async function resolvedAsks(interfaceName: string, address: string): Promise<boolean> {
  try {
    const { stdout } = await run("resolvectl", ["dns", interfaceName], { timeout: COMMAND_TIMEOUT_MS });
    return stdout.split(/\s+/).includes(address);
  } catch {
    return false;
  }
}

/** Addresses that resolv.conf(5) names. */
export function nameserversIn(text: string): string[] {
  return text.split("\n").flatMap((line) => /^nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
}
