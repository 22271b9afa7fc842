import type { ChildProcess, SpawnOptions } from "node:child_process";
import { type Capture, startCapture } from "./capture.ts";
import { type Finished, must, run, type RunOptions, start } from "./run.ts";
import { namespaceName, removeNamespaces } from "./sweep.ts";
import { batchesOf, type Topology } from "./topology.ts";

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
  /** Takes an interface of a node away, as a reboot does. */
  deleteInterface(node: string, interfaceName: string): Promise<void>;
  close(): Promise<void>;
}

export interface LabOptions {
  /** Path of the `cvlan-lab` program, for captures. */
  readonly captureProgram: string;
}

/**
 * Builds a topology. Needs CAP_NET_ADMIN over the namespaces: root, or an enclosure.
 * @throws Error with the words of `ip` when the kernel refuses; what was made by then is removed again
 */
export async function createLab(topology: Topology, options: LabOptions): Promise<Lab> {
  const current = new Set(topology.nodes.filter((node) => node.current).map((node) => node.name));
  const known = new Set(topology.nodes.map((node) => node.name));
  const namespaceOf = (node: string): string | undefined =>
    current.has(node) ? undefined : namespaceName(process.pid, node);
  const names = topology.nodes.map((node) => namespaceOf(node.name)).filter((name) => name !== undefined);
  const wires = topology.links.flatMap((link) => link.ends).filter((end) => current.has(end.node));

  const namespace = (node: string): string => {
    const name = known.has(node) ? namespaceOf(node) : undefined;
    if (name === undefined) throw new Error(`${node} is not a machine of this lab`);
    return name;
  };
  const argvOn = (node: string, argv: readonly string[]): string[] =>
    current.has(node) ? [...argv] : ["nsenter", `--net=/run/netns/${namespace(node)}`, "--", ...argv];
  const close = async (): Promise<void> => {
    await removeNamespaces(names);
    // The kernel takes the wires away with the namespaces, only later; the names must be free at once.
    for (const wire of wires) await run(["ip", "link", "del", wire.interface]);
  };

  const { create, inside } = batchesOf(topology, namespaceOf);
  try {
    await must(["ip", "-batch", "-"], { input: `${create.join("\n")}\n` });
    await Promise.all(
      topology.nodes.map(async (node) => {
        const lines = inside.get(node.name) ?? [];
        const where = current.has(node.name) ? [] : ["-n", namespace(node.name)];
        await must(["ip", ...where, "-batch", "-"], { input: `${lines.join("\n")}\n` });
        if (node.router) await must(argvOn(node.name, ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]));
      }),
    );
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
    deleteInterface: async (node, interfaceName) => {
      await must(argvOn(node, ["ip", "link", "del", interfaceName]));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
