import type { Topology } from "./topology.ts";

/** Underlay addresses of the demonstration's two hosts, on two subnets behind one router. */
export interface DemoNetwork {
  readonly topology: Topology;
  readonly controlAddress: string;
  readonly hostAddresses: Readonly<Record<"hosta" | "hostb", string>>;
}

/**
 * control (the current namespace) and two hosts, each on a wire of its own to a router.
 * @param second second byte of the underlay's 10.x.0.0/16, so that demonstrations beside each other do not meet
 */
export function demoNetwork(second: number): DemoNetwork {
  const at = (subnet: number, host: number): string => `10.${second}.${subnet}.${host}`;
  const link = (node: string, interfaceName: string, subnet: number, to: string): Topology["links"][number] => ({
    ends: [
      { node, interface: interfaceName, address: `${at(subnet, 2)}/24`, routes: [{ to, via: at(subnet, 1) }] },
      { node: "router", interface: `${node}0`, address: `${at(subnet, 1)}/24` },
    ],
  });
  return {
    topology: {
      nodes: [
        { name: "control", current: true },
        { name: "router", router: true },
        { name: "hosta" },
        { name: "hostb" },
      ],
      links: [
        link("control", `cvdemo${second}`, 0, `10.${second}.0.0/16`),
        link("hosta", "eth0", 1, "default"),
        link("hostb", "eth0", 2, "default"),
      ],
    },
    controlAddress: at(0, 2),
    hostAddresses: { hosta: at(1, 2), hostb: at(2, 2) },
  };
}
