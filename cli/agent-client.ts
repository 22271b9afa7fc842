import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { AgentService } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { unixTransport } from "@cloudvlan/kit/client";
import { Refusal } from "@cloudvlan/kit/errors";
import { accessSync, constants } from "node:fs";
import type { GlobalOptions } from "./session.ts";

/** The agent of this machine. */
export interface LocalAgent extends Disposable {
  readonly client: Client<typeof AgentService>;
}

/** @throws Refusal when there is no agent on the state folder, or this user may not talk to it. */
export function localAgent({ state }: GlobalOptions): LocalAgent {
  const path = join(state, "agent.sock");
  try {
    accessSync(path, constants.W_OK);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EACCES") {
      throw new Refusal("denied", "AGENT_NOT_YOURS", `${path} belongs to another user`, {
        remedy: "run this as root, or as the user the agent runs as",
      });
    }
    throw new Refusal("unavailable", "AGENT_NOT_RUNNING", `no agent serves ${path}`, {
      remedy: "start cvlan-agent, or name its folder with --state",
    });
  }
  const connection = unixTransport(path);
  return { client: createClient(AgentService, connection), [Symbol.dispose]: () => connection.close() };
}
