import type { ChildProcess, SpawnOptions } from "node:child_process";
import { type Capture, startCapture } from "./capture.ts";
import { type Finished, must, run, type RunOptions, start } from "./run.ts";
import { namespaceName, removeNamespaces } from "./sweep.ts";
import { type Batches, batchesOf, batchesOfLinks, type LabEnd, type LabLink, type Topology } from "./topology.ts";
import { startWire, type Wire, wireArguments, type WireCounts } from "./wire.ts";

/** Machines and wires made of network namespaces. Closing it ends every process in them. */
export interface Lab extends AsyncDisposable {
  /** Name of a node's namespace, for `ip netns`. @throws Error for the current one and for unknown nodes */
  namespace(node: string): string;
  /** The command line that runs `argv` on a node. */
  argvOn(node: string, argv: readonly string[]): string[];
  /** Runs a command on a node to its end. */
  exec(node: string, argv: readonly string[], options?: RunOptions): Promise<Finished>;
  /** Starts a process on a node; the returned id is the process's own. */
  spawn(node: string, argv: readonly string[], options?: SpawnOptions): Promise<ChildProcess>;
  /** Reads what passes an interface of a node. It has begun when the promise resolves. */
  capture(node: string, interfaceName: string): Promise<Capture>;
  /** Lays another wire between nodes that are there. */
  connect(link: LabLink): Promise<void>;
  /** Takes an interface of a node away, as a reboot does; with it goes the wire that ends there. */
  deleteInterface(node: string, interfaceName: string): Promise<void>;
  /**
   * Ends an impaired wire, which takes both its interfaces away.
   * @returns what became of the packets, by the node that sent them
   * @throws Error when none ends at that interface, or it had broken
   */
  stopWire(node: string, interfaceName: string): Promise<Readonly<Record<string, WireCounts>>>;
  close(): Promise<void>;
}

export interface LabOptions {
  /** Path of the `cvlan-lab` program, for captures and impaired wires. */
  readonly captureProgram: string;
}

/** Gives a router what it needs to forward. */
const FORWARD = `
echo 1 >/proc/sys/net/ipv4/ip_forward || exit
ipv6=/proc/sys/net/ipv6/conf/all/forwarding
[ ! -e $ipv6 ] || echo 1 >$ipv6`;

interface StandingWire {
  readonly ends: readonly [LabEnd, LabEnd];
  readonly wire: Wire;
}

/**
 * Builds a topology. Needs CAP_NET_ADMIN over the namespaces: root, or an enclosure.
 * @throws Error with the words of `ip` when the kernel refuses; what was made by then is removed again
 */
export async function createLab(topology: Topology, options: LabOptions): Promise<Lab> {
  const current = new Set(topology.nodes.filter((node) => node.current).map((node) => node.name));
  const known = new Set(topology.nodes.map((node) => node.name));
  const routers = new Set(topology.nodes.filter((node) => node.router).map((node) => node.name));
  const namespaceOf = (node: string): string | undefined =>
    current.has(node) ? undefined : namespaceName(process.pid, node);
  const names = topology.nodes.map((node) => namespaceOf(node.name)).filter((name) => name !== undefined);
  const ownInterfaces = new Set<string>();
  const wires: StandingWire[] = [];

  const namespace = (node: string): string => {
    const name = known.has(node) ? namespaceOf(node) : undefined;
    if (name === undefined) throw new Error(`${node} is not a machine of this lab`);
    return name;
  };
  const argvOn = (node: string, argv: readonly string[]): string[] =>
    current.has(node) ? [...argv] : ["nsenter", `--net=/run/netns/${namespace(node)}`, "--", ...argv];

  /** The process lives in a namespace of the lab and so ends with it; the other end is moved to where it belongs. */
  const layWire = async ({ ends }: LabLink, wireOptions: NonNullable<LabLink["wire"]>): Promise<void> => {
    const [home, away] = current.has(ends[0].node) ? [ends[1], ends[0]] : ends;
    const temporary = `cvwire${wires.length}`;
    const program = [options.captureProgram, ...wireArguments(home.interface, temporary, wireOptions)];
    wires.push({ ends: [home, away], wire: await startWire(argvOn(home.node, program)) });
    const destination = namespaceOf(away.node) ?? String(process.pid);
    const move = ["link", "set", temporary, "netns", destination, "name", away.interface];
    await must(["ip", "-n", namespace(home.node), ...move]);
  };
  const lay = async (links: readonly LabLink[], { create, inside }: Batches): Promise<void> => {
    for (const end of links.flatMap((link) => link.ends)) if (current.has(end.node)) ownInterfaces.add(end.interface);
    await must(["ip", "-batch", "-"], { input: `${create.join("\n")}\n` });
    for (const link of links) if (link.wire) await layWire(link, link.wire);
    await Promise.all(
      [...inside].map(async ([node, lines]) => {
        const where = current.has(node) ? [] : ["-n", namespace(node)];
        if (routers.has(node)) await must(argvOn(node, ["sh", "-c", FORWARD]));
        await must(["ip", ...where, "-batch", "-"], { input: `${lines.join("\n")}\n` });
      }),
    );
  };
  const close = async (): Promise<void> => {
    await removeNamespaces(names);
    // The kernel takes the wires away with the namespaces, only later; the names must be free at once.
    for (const name of ownInterfaces) await run(["ip", "link", "del", name]);
  };

  try {
    await lay(topology.links, batchesOf(topology, namespaceOf));
  } catch (error) {
    const made = (await must(["ip", "netns", "list"])).split("\n").map((line) => line.split(" ")[0]);
    await removeNamespaces(names.filter((name) => made.includes(name)));
    throw error;
  }

  return {
    namespace,
    argvOn,
    exec: (node, argv, runOptions) => run(argvOn(node, argv), runOptions),
    spawn: (node, argv, spawnOptions = {}) => start(argvOn(node, argv), spawnOptions),
    capture: (node, interfaceName) =>
      startCapture(argvOn(node, [options.captureProgram, "capture", "--interface", interfaceName])),
    connect: (link) => lay([link], batchesOfLinks([link], namespaceOf)),
    deleteInterface: async (node, interfaceName) => {
      await must(argvOn(node, ["ip", "link", "del", interfaceName]));
    },
    stopWire: async (node, interfaceName) => {
      const ending = wires.findLast(({ ends }) =>
        ends.some((end) => end.node === node && end.interface === interfaceName),
      );
      if (!ending) throw new Error(`no impaired wire ends at ${interfaceName} of ${node}`);
      const counts = await ending.wire.stop();
      return Object.fromEntries(ending.ends.map((end, at) => [end.node, counts[at === 0 ? 0 : 1]]));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
