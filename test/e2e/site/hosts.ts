import type { LabEnd, Topology } from "@cloudvlan/test/lab";

/** Machines, each on a wire of its own to a router, and the current namespace for the control plane. */
export interface HostsNetwork {
  readonly topology: Topology;
  readonly controlAddress: string;
}

/** @param second second byte of the underlay's 10.x.0.0/16 */
export function hostsNetwork(second: number, hosts: readonly string[]): HostsNetwork {
  const at = (subnet: number, host: number): string => `10.${second}.${subnet}.${host}`;
  const link = (node: string, own: string, subnet: number, to: string): Topology["links"][number] => {
    const end: LabEnd = { node, interface: own, address: `${at(subnet, 2)}/24`, routes: [{ to, via: at(subnet, 1) }] };
    return { ends: [end, { node: "router", interface: `${node}0`, address: `${at(subnet, 1)}/24` }] };
  };
  return {
    topology: {
      nodes: [{ name: "control", current: true }, { name: "router", router: true }, ...hosts.map((name) => ({ name }))],
      links: [
        link("control", `cvhosts${second}`, 0, `10.${second}.0.0/16`),
        ...hosts.map((name, index) => link(name, "eth0", index + 1, "default")),
      ],
    },
    controlAddress: at(0, 2),
  };
}
