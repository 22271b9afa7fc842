import { ConnectError } from "@connectrpc/connect";
import type { EngineStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { EngineLink } from "./supervise.ts";

/** Milliseconds after which an engine that says nothing counts as absent. */
const TIMEOUT_MS = 2_000;

/**
 * The status with its peers, asked for when somebody needs it: the agent keeps none of them.
 * @returns undefined while the engine does not answer; whoever supervises it says why.
 */
export async function wholeStatus({ running }: Pick<EngineLink, "running">): Promise<EngineStatus | undefined> {
  try {
    return (await running.get()?.client.getStatus({}, { timeoutMs: TIMEOUT_MS }))?.status;
  } catch (error) {
    if (error instanceof ConnectError) return undefined;
    throw error;
  }
}
