import { type Check, PeerState } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { fail, ok, skipped, warn } from "@cloudvlan/kit/diagnose";
import type { LocalNode } from "../api/node.ts";
import { statusOf } from "../api/status.ts";

export function checkEngine({ engine, problems, config }: LocalNode): Check {
  const problem = problems.list().find(({ part }) => part === "engine");
  const running = engine.running.get();
  if (!running) {
    const why = problem ? `: ${problem.message}` : "";
    return fail("engine", `it does not run${why}`, problem?.remedy || `see ${config.state}/engine.log`);
  }
  if (problem) return fail("engine", problem.message, problem.remedy);
  return ok("engine", `cvlan-engine ${running.identity.version} runs`);
}

/** Parts that are upgraded one by one; they work together across one minor version. */
export function checkVersions(node: LocalNode): Check {
  const engine = node.engine.running.get()?.identity;
  const parts = [
    ["agent", node.version],
    ["engine", engine?.version ?? ""],
    ["controller", node.controllerVersion.get()],
  ].filter(([, version]) => version !== "");
  const capability = engine ? `, capability version ${engine.capabilityVersion}` : "";
  const found = `${parts.map(([part, version]) => `${part} ${version}`).join(", ")}${capability}`;
  const lines = new Set(parts.map(([, version = ""]) => version.split(".").slice(0, 2).join(".")));
  if (lines.size > 1) return warn("versions", found, "bring agent, engine and controller to one version");
  return ok("versions", found);
}

export async function checkMap(node: LocalNode): Promise<Check> {
  if (!node.membership.get()) return skipped("map", "this machine has not joined");
  const { engine, headAgeMs, problems } = await statusOf(node);
  const problem = problems.find(({ part }) => part === "map");
  if (problem) return fail("map", problem.message, problem.remedy);
  const map = engine?.map;
  if (!map || map.revision === 0n)
    return fail("map", "the engine has no map", "check reachability: it comes by itself");
  const age = headAgeMs === undefined ? "no head came since the agent started" : `head of ${headAgeMs / 1_000n} s ago`;
  const found = `revision ${map.epoch}.${map.revision}, ${age}`;
  if (map.stale) return fail("map", `${found}; it is past its time`, "check reachability: a new one comes by itself");
  return headAgeMs === undefined ? warn("map", found, "check reachability") : ok("map", found);
}

export async function checkPeers(node: LocalNode): Promise<Check> {
  const { peers } = await statusOf(node);
  if (peers.length === 0) return skipped("peers", "this node sees no peer: no rule connects it with one");
  const count = (state: PeerState) => peers.filter((peer) => peer.state === state).length;
  const [active, idle, never] = [PeerState.ACTIVE, PeerState.IDLE, PeerState.NEVER].map(count);
  const found = `${peers.length} peers: ${active} active, ${idle} idle, ${never} without a handshake yet`;
  return ok("peers", found);
}
