import type { Lab } from "@cloudvlan/test/lab";

const ETHERNET_HEADER = 14;

/** What passed an interface of a machine, both ways, in IP packets. */
export interface Passed {
  readonly bytes: number;
  readonly packets: number;
}

/** Counts all IP bytes of an interface since the machine was made: the kernel's own counters, less the link's headers. */
export async function passed(lab: Lab, node: string, interfaceName: string): Promise<Passed> {
  const { stdout } = await lab.exec(node, ["cat", "/proc/net/dev"]);
  const line = stdout.split("\n").find((each) => each.trim().startsWith(`${interfaceName}:`));
  const fields =
    line
      ?.slice(line.indexOf(":") + 1)
      .trim()
      .split(/\s+/)
      .map(Number) ?? [];
  const [received = 0, receivedPackets = 0] = fields;
  const [sent = 0, sentPackets = 0] = fields.slice(8);
  const packets = receivedPackets + sentPackets;
  return { packets, bytes: received + sent - packets * ETHERNET_HEADER };
}
