import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AgentService, type AgentStatus } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import type { PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { unixTransport } from "@cloudvlan/kit/client";
import { formatAddress } from "@cloudvlan/kit/net";
import type { Lab } from "@cloudvlan/test/lab";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { type Program, program } from "./process.ts";
import { until } from "./until.ts";

/** A machine of the lab with an agent and its engine. */
export interface SiteNode extends AsyncDisposable {
  readonly name: string;
  readonly state: string;
  readonly agent: Program;
  startAgent(): Promise<void>;
  join(joinString: string): Promise<void>;
  /** Undefined while the agent does not answer. */
  status(): Promise<AgentStatus | undefined>;
  /** What the engine says of a peer; undefined while it does not know it. */
  peer(name: string): Promise<PeerStatus | undefined>;
  /** A counter of the engine. */
  counter(name: string): Promise<bigint>;
  /** Own overlay IPv4 address. */
  address(): Promise<string>;
  /** Pings a peer through the tunnel and returns how many answers came. */
  ping(peer: string, count?: number, timeoutMs?: number): Promise<number>;
  /** Kills the engine and waits until it is gone. */
  killEngine(): Promise<void>;
}

/** Ids of the processes whose command line holds all the words. */
async function pidsOf(...words: readonly string[]): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const line = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
    const argv = line.split("\0");
    if (words.every((word) => argv.includes(word))) found.push(Number(entry));
  }
  return found;
}

export async function siteNode(
  lab: Lab,
  name: string,
  folder: string,
  programs: { readonly node: string; readonly agent: string; readonly engine: string },
): Promise<SiteNode> {
  const state = join(folder, name);
  const engineState = join(state, "engine");
  await mkdir(state, { recursive: true, mode: 0o700 });
  const argv = [programs.node, programs.agent, "--state", state, "--engine", programs.engine];
  const agent = program(lab.argvOn(name, argv), join(folder, `${name}.log`));
  const transport = unixTransport(join(state, "agent.sock"));
  const client = createClient(AgentService, transport);

  const status = async (): Promise<AgentStatus | undefined> => {
    try {
      return (await client.getStatus({}, { timeoutMs: 5_000 })).status;
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.Unavailable) return undefined;
      throw error;
    }
  };
  const startAgent = async (): Promise<void> => {
    await agent.start();
    await until(`the agent of ${name} answers`, async () => {
      if (!agent.running) throw new Error(`the agent of ${name} ended:\n${(await agent.output()).slice(-2_000)}`);
      return await status();
    });
  };
  return {
    name,
    state,
    agent,
    startAgent,
    join: async (joinString) => void (await client.join({ joinString, name }, { timeoutMs: 60_000 })),
    status,
    peer: async (peer) => (await status())?.engine?.peers.find((candidate) => candidate.name === peer),
    counter: async (counter) => (await status())?.engine?.counters[counter] ?? 0n,
    address: () =>
      until(`${name} has an address`, async () => {
        const address = (await status())?.engine?.addresses[0];
        return address && formatAddress(address.address);
      }),
    ping: async (destination, count = 1, timeoutMs = 2_000) => {
      let answers = 0;
      try {
        const request = { destination, count, intervalMs: 50, timeoutMs };
        for await (const { reply } of client.ping(request, { timeoutMs: count * (timeoutMs + 100) + 5_000 })) {
          if (reply?.rttUs !== undefined) answers += 1;
        }
      } catch (error) {
        // A peer that is not in the map, an engine that is not up.
        const absent = error instanceof ConnectError && [Code.NotFound, Code.Unavailable].includes(error.code);
        if (!absent) throw error;
      }
      return answers;
    },
    killEngine: async () => {
      for (const pid of await pidsOf(programs.engine, engineState)) process.kill(pid, "SIGKILL");
      await until(
        `the engine of ${name} is gone`,
        async () => (await pidsOf(programs.engine, engineState)).length === 0,
      );
    },
    [Symbol.asyncDispose]: async () => {
      transport.close();
      await agent.end("SIGKILL");
      for (const pid of await pidsOf(programs.engine, engineState)) process.kill(pid, "SIGKILL");
    },
  };
}
