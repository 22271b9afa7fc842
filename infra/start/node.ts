import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { AgentService, type AgentStatus } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import type { PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { unixTransport } from "@cloudvlan/kit/client";
import type { Finished, Lab } from "@cloudvlan/test/lab";
import { type Daemon, startDaemon } from "./daemon.ts";
import type { Programs } from "./programs.ts";

const READY_MS = 20_000;

/** A machine of the lab with an agent and its engine. */
export interface DemoNode extends Disposable {
  readonly name: string;
  readonly state: string;
  readonly daemon: Daemon;
  /** Undefined while the agent does not answer. */
  status(): Promise<AgentStatus | undefined>;
  /** What its engine says of a peer; undefined while it does not know it. */
  peer(name: string): Promise<PeerStatus | undefined>;
  /** Runs `cvlan` on the machine. @throws Error with its words when it fails */
  cvlan(args: readonly string[], input?: string): Promise<string>;
}

function checked(args: readonly string[], { code, stdout, stderr }: Finished): string {
  if (code !== 0) throw new Error(`\`cvlan ${args[0]}\` failed (${code ?? "killed"}): ${(stderr || stdout).trim()}`);
  return stdout;
}

/** Starts the agent of a machine, which starts its engine, and waits until both can be spoken to. */
export async function startNode(lab: Lab, name: string, folder: string, programs: Programs): Promise<DemoNode> {
  const state = join(folder, name);
  await mkdir(state, { recursive: true, mode: 0o700 });
  const argv = [programs.node, programs.agent, "--state", state, "--engine", programs.engine];
  const daemon = await startDaemon(lab.argvOn(name, argv), join(folder, `${name}.log`));
  const transport = unixTransport(join(state, "agent.sock"));
  const agent = createClient(AgentService, transport);
  const status = async (): Promise<AgentStatus | undefined> => {
    try {
      return (await agent.getStatus({}, { timeoutMs: 5_000 })).status;
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.Unavailable) return undefined;
      throw error;
    }
  };
  const node: DemoNode = {
    name,
    state,
    daemon,
    status,
    peer: async (peer) => (await status())?.engine?.peers.find((candidate) => candidate.name === peer),
    cvlan: async (args, input = "") => {
      const command = [programs.node, programs.cli, "--state", state, ...args];
      return checked(args, await lab.exec(name, command, { input }));
    },
    [Symbol.dispose]: () => transport.close(),
  };
  await daemon.until(`the agent of ${name}`, READY_MS, status);
  try {
    await daemon.until(`the engine of ${name}`, READY_MS, async () => (await status())?.engine);
  } catch (error) {
    const problems = ((await status())?.problems ?? []).map(
      ({ part, message, remedy }) => `${part}: ${message}; ${remedy}`,
    );
    throw problems.length > 0 ? new Error(problems.join("; "), { cause: error }) : error;
  }
  return node;
}
