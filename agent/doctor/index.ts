import type { Check } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import {
  checkController,
  checkDisk,
  checkState,
  checkTimeSync,
  checkTun,
  codeOf,
  ok,
  skipped,
  warn,
} from "@cloudvlan/kit/diagnose";
import { InterfaceKind } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { LocalNode } from "../api/node.ts";
import { checkCertificate } from "./certificate.ts";
import { checkEngine, checkMap, checkPeers, checkVersions } from "./engine.ts";
import { checkFirewall } from "./firewall.ts";
import { checkMtu } from "./mtu.ts";
import { checkForwarding, checkOverlaps, checkPort } from "./network.ts";
import { checkResolver } from "./resolver.ts";

type Job = (node: LocalNode) => Promise<Check | readonly Check[]> | Check;

/** In the order in which they are told: what others depend on comes first. */
const JOBS: readonly (readonly [name: string, job: Job])[] = [
  ["agent", ({ version }) => ok("agent", `cvlan-agent ${version} runs`)],
  ["state", ({ config }) => checkState(config.state)],
  ["disk", ({ config }) => checkDisk(config.state)],
  ["tun", tun],
  ["engine", checkEngine],
  ["versions", checkVersions],
  ["reachability", controller],
  ["time-sync", () => checkTimeSync()],
  ["certificate", checkCertificate],
  ["map", checkMap],
  ["udp-port", checkPort],
  ["firewall", checkFirewall],
  ["mtu", checkMtu],
  ["overlap", checkOverlaps],
  ["forwarding", checkForwarding],
  ["resolver", checkResolver],
  ["peers", checkPeers],
];

/**
 * All checks, at once, told in order. One that fails to look says so; none keeps another from looking.
 */
export async function* diagnose(node: LocalNode, signal: AbortSignal): AsyncGenerator<{ check: Check }> {
  const running = JOBS.map(([name, job]) => looked(name, job, node));
  for (const checks of running) {
    for (const check of await checks) {
      if (signal.aborted) return;
      yield { check };
    }
  }
}

async function looked(name: string, job: Job, node: LocalNode): Promise<readonly Check[]> {
  try {
    const found = await job(node);
    return "verdict" in found ? [found] : found;
  } catch (error) {
    return [warn(name, `could not be looked at: ${codeOf(error)}`, "see the agent's log")];
  }
}

function tun(node: LocalNode): Promise<Check> | Check {
  const kind = node.engine.status.get()?.interfaceKind;
  return kind === InterfaceKind.USERSPACE ? skipped("tun", "this node runs in userspace, without TUN") : checkTun();
}

async function controller(node: LocalNode): Promise<readonly Check[]> {
  const membership = node.membership.get();
  if (!membership) return ["reachability", "ca", "clock"].map((name) => skipped(name, "this machine has not joined"));
  const roots = node.identity.get()?.roots;
  if (!roots) return ["reachability", "ca", "clock"].map((name) => skipped(name, "the pinned root cannot be read"));
  return await checkController(membership.controller_url, roots, () => node.clock.nowMs());
}
