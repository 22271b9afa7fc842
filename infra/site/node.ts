import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AgentService, type AgentStatus } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import type { PeerStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { unixTransport } from "@cloudvlan/kit/client";
import { formatAddress } from "@cloudvlan/kit/net";
import { type Finished, type Lab, must } from "@cloudvlan/test/lab";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { type Program, program } from "./process.ts";
import { until } from "./until.ts";

const ENGINE_MS = 20_000;

/** The programs of a machine, by path. */
export interface NodePrograms {
  readonly node: string;
  readonly agent: string;
  /** Flags of Node for the agent. */
  readonly agentFlags: readonly string[];
  readonly cli: string;
  readonly engine: string;
  /** False for an agent of before names were resolved, which knows no flag for it. */
  readonly resolver?: false;
}

/** How a machine differs from the plainest one. */
export interface NodeOptions {
  /**
   * Folder that stands in the place of /etc for the agent, whose file of resolvers it sets. Without one it leaves the
   * resolver alone: machines of a lab share the files of the machine they run on.
   */
  readonly etc?: string;
  /** Further flags of the agent. */
  readonly flags?: readonly string[];
  /** Configuration of the agent beside its flags, by key. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A machine of the lab with an agent and its engine. */
export interface SiteNode extends AsyncDisposable {
  readonly name: string;
  readonly state: string;
  readonly agent: Program;
  /** Starts the agent, which starts its engine, and waits until the agent answers. */
  startAgent(): Promise<void>;
  /** The command line that runs `argv` on the machine with the files of its agent. */
  argvOn(argv: readonly string[]): string[];
  /** Runs the agent's program for one errand, as `--stop-engine`. @throws Error with its words when it fails */
  errand(flag: string): Promise<void>;
  /** Waits until the engine can be spoken to. @throws Error with what keeps it from running */
  engineIsUp(): Promise<void>;
  /** Runs `cvlan` on the machine. @throws Error with its words when it fails */
  cvlan(args: readonly string[], input?: string): Promise<string>;
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
  /** Process id of the engine. @throws Error when it does not run */
  enginePid(): Promise<number>;
  /** Memory that the engine holds, in bytes. */
  engineMemory(): Promise<number>;
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

function checked(args: readonly string[], { code, stdout, stderr }: Finished): string {
  if (code !== 0) throw new Error(`\`cvlan ${args[0]}\` failed (${code ?? "killed"}): ${(stderr || stdout).trim()}`);
  return stdout;
}

/** The command line that runs `argv` with another folder for /etc. */
function withEtc(etc: string, argv: readonly string[]): string[] {
  const mount = 'mount --bind "$0" /etc && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", mount, etc, ...argv];
}

/** @param folder where the machine's state folder is made and its log is kept */
export async function siteNode(
  lab: Lab,
  name: string,
  folder: string,
  programs: NodePrograms,
  { etc, flags = [], config }: NodeOptions = {},
): Promise<SiteNode> {
  const state = join(folder, name);
  const engineState = join(state, "engine");
  await mkdir(state, { recursive: true, mode: 0o700 });
  const argv = [programs.node, ...programs.agentFlags, programs.agent, "--state", state, "--engine", programs.engine];
  if (config) {
    const file = join(folder, `${name}.yaml`);
    // JSON is YAML.
    await writeFile(file, JSON.stringify(config), { mode: 0o600 });
    argv.push("--config", file);
  }
  argv.push(...flags);
  if (programs.resolver !== false) argv.push("--resolver", etc === undefined ? "off" : "auto");
  const argvOn = (command: readonly string[]) => lab.argvOn(name, etc === undefined ? command : withEtc(etc, command));
  const agent = program(argvOn(argv), join(folder, `${name}.log`));
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
    await agent.until(`the agent of ${name}`, status);
  };
  const engineIsUp = async (): Promise<void> => {
    try {
      await agent.until(`the engine of ${name}`, async () => (await status())?.engine, ENGINE_MS);
    } catch (error) {
      const problems = ((await status())?.problems ?? []).map(
        ({ part, message, remedy }) => `${part}: ${message}; ${remedy}`,
      );
      throw problems.length > 0 ? new Error(problems.join("; "), { cause: error }) : error;
    }
  };
  return {
    name,
    state,
    agent,
    startAgent,
    argvOn,
    errand: async (flag) => void (await must(argvOn([programs.node, programs.agent, "--state", state, flag]))),
    engineIsUp,
    cvlan: async (args, input = "") => {
      const command = [programs.node, programs.cli, "--state", state, ...args];
      return checked(args, await lab.exec(name, command, { input }));
    },
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
    enginePid: async () => {
      const [pid] = await pidsOf(programs.engine, engineState);
      if (pid === undefined) throw new Error(`the engine of ${name} does not run`);
      return pid;
    },
    engineMemory: async () => {
      const [pid] = await pidsOf(programs.engine, engineState);
      const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
      return Number(kilobytes) * 1024;
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
