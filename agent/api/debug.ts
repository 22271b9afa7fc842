import { open } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { type CollectDebugResponse, CollectDebugResponseSchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { errnoOf, statePath } from "../state/files.ts";
import type { LocalNode } from "./node.ts";

/** Bytes of the end of the engine's log. */
const MAX_LOG_BYTES = 256 * 1_024;

/** What a report of a fault needs from inside of the agent. The configuration holds no secret, and logs write none. */
export async function collectDebug(node: LocalNode): Promise<CollectDebugResponse> {
  return create(CollectDebugResponseSchema, {
    config: Object.fromEntries(Object.entries(node.config).map(([key, value]) => [key, textOf(value)])),
    logLines: [...node.recent.lines()],
    engineLogLines: await lastLines(statePath(node.config.state, "engine.log")),
  });
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The end of a log, from the first whole line. */
async function lastLines(path: string): Promise<string[]> {
  try {
    await using log = await open(path, "r");
    const { size } = await log.stat();
    const from = Math.max(0, size - MAX_LOG_BYTES);
    const { buffer, bytesRead } = await log.read(Buffer.alloc(MAX_LOG_BYTES), 0, MAX_LOG_BYTES, from);
    const lines = buffer.toString("utf8", 0, bytesRead).split("\n");
    return lines.slice(from > 0 ? 1 : 0).filter((line) => line !== "");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
