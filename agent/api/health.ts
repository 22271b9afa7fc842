import { ControllerState, Health } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import type { ControllerView } from "../controller/view.ts";

/** What the health of a node is judged by. */
export interface Vitals {
  /** As it may be told now. */
  readonly controller: ControllerView;
  readonly engineRuns: boolean;
  /** The map is past its time. */
  readonly mapStale: boolean;
  readonly certificateExpired: boolean;
  /** Parts that have a problem. */
  readonly problems: readonly string[];
  /** Peers whose keys are good now. */
  readonly activePeers: number;
}

export interface Judgement {
  readonly health: Health;
  /** Empty when it is HEALTHY. */
  readonly reason: string;
  /** Parts at fault. */
  readonly degraded: readonly string[];
}

/** One word for the whole node: the worst that holds. */
export function judge(vitals: Vitals): Judgement {
  const { controller, activePeers } = vitals;
  const degraded = partsAtFault(vitals);
  const verdict = (health: Health, reason: string): Judgement => ({ health, reason, degraded });
  if (controller.revoked) return verdict(Health.ISOLATED, `this node was revoked: ${controller.error}`);
  const unreachable = controller.state === ControllerState.UNREACHABLE;
  if (unreachable && activePeers === 0) {
    return verdict(
      Health.ISOLATED,
      `no peer answered for 3 minutes, and the controller is unreachable: ${controller.error}`,
    );
  }
  if (degraded.length > 0) {
    const why = unreachable ? `; the controller is unreachable: ${controller.error}` : "";
    return verdict(Health.DEGRADED, `at fault: ${degraded.join(", ")}${why}`);
  }
  if (controller.state !== ControllerState.CONNECTED) {
    return verdict(Health.RECOVERY, "connecting to the controller");
  }
  if (controller.headAt === undefined || controller.lostAt !== undefined) {
    return verdict(Health.RECOVERY, "connected; the map is not up to date yet");
  }
  return verdict(Health.HEALTHY, "");
}

function partsAtFault({ controller, engineRuns, mapStale, certificateExpired, problems }: Vitals): string[] {
  const parts = [
    ...problems,
    ...(engineRuns ? [] : ["engine"]),
    ...(mapStale ? ["map"] : []),
    ...(certificateExpired ? ["certificate"] : []),
    ...(controller.state === ControllerState.UNREACHABLE ? ["controller"] : []),
  ];
  return [...new Set(parts)];
}
