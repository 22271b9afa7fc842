import { create } from "@bufbuild/protobuf";
import { timestampFromDate, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  AgentState,
  type AgentStatus,
  AgentStatusSchema,
  type PeerSummary,
  PeerSummarySchema,
  PeerState,
} from "@cloudvlan/gen/agent/v1/agent_pb.js";
import type { PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { type ControllerView, toldAt } from "../controller/view.ts";
import { wholeStatus } from "../engine/whole.ts";
import type { Membership } from "../state/membership.ts";
import { judge } from "./health.ts";
import type { LocalNode } from "./node.ts";

/** Milliseconds for which the keys of a handshake are good (WireGuard paper section 6.1, REJECT_AFTER_TIME). */
const KEYS_LIVE_MS = 180_000;

/** The node as its machine sees it now. */
export async function statusOf(node: LocalNode): Promise<AgentStatus> {
  const engine = await wholeStatus(node.engine);
  const nowMs = node.clock.nowMs();
  const bootMs = node.clock.bootMs();
  const membership = node.membership.get();
  const controller = toldAt(node.controller.get(), bootMs);
  const identity = node.identity.get();
  const running = node.engine.running.get();
  const problems = node.problems.list();
  const peers = (engine?.peers ?? []).map((peer) => summaryOf(peer, nowMs));
  return create(AgentStatusSchema, {
    state: stateOf(membership, controller),
    version: node.version,
    problems,
    ...(engine && { engine, peers }),
    ...(running && {
      engineVersion: running.identity.version,
      capabilityVersion: running.identity.capabilityVersion,
    }),
    ...(identity && { certificateNotAfter: timestampFromDate(identity.notAfter) }),
    ...(membership && {
      controllerUrl: membership.controller_url,
      tenantId: membership.tenant_id,
      cvlanId: membership.cvlan_id,
      cvlanName: membership.cvlan_name,
      nodeId: membership.node_id,
      name: engine?.name || membership.name,
      controller: controller.state,
      controllerError: controller.error,
      controllerVersion: node.controllerVersion.get(),
      ...(controller.headAt !== undefined && { headAgeMs: ageOf(controller.headAt, bootMs) }),
      ...(controller.heardAt !== undefined && { controllerSilenceMs: ageOf(controller.heardAt, bootMs) }),
      ...healthOf(),
    }),
  });

  function healthOf(): Pick<AgentStatus, "health" | "healthReason" | "degraded"> {
    const { health, reason, degraded } = judge({
      controller,
      engineRuns: engine !== undefined,
      mapStale: engine?.map?.stale ?? false,
      certificateExpired: identity !== undefined && identity.notAfter.getTime() < nowMs,
      problems: problems.map(({ part }) => part),
      activePeers: peers.filter(({ state }) => state === PeerState.ACTIVE).length,
    });
    return { health, healthReason: reason, degraded: [...degraded] };
  }
}

function ageOf(instant: number, now: number): bigint {
  return BigInt(Math.max(0, Math.round(now - instant)));
}

function summaryOf({ nodeId, name, latestHandshakeAt }: PeerStatus, nowMs: number): PeerSummary {
  if (!latestHandshakeAt) return create(PeerSummarySchema, { nodeId, name, state: PeerState.NEVER });
  const handshakeAgeMs = ageOf(timestampMs(latestHandshakeAt), nowMs);
  const state = handshakeAgeMs <= KEYS_LIVE_MS ? PeerState.ACTIVE : PeerState.IDLE;
  return create(PeerSummarySchema, { nodeId, name, state, handshakeAgeMs });
}

function stateOf(membership: Membership | undefined, controller: ControllerView): AgentState {
  if (!membership) return AgentState.UNENROLLED;
  return controller.revoked ? AgentState.REVOKED : AgentState.RUNNING;
}
