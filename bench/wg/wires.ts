import { createLab, type Lab, must, type Topology } from "@cloudvlan/test/lab";

/** The two ends of the tunnel, and a machine from which strangers call the right one. */
export type Machine = "left" | "right" | "crowd";

export const ADDRESS: Readonly<Record<Machine, string>> = { left: "10.77.0.1", right: "10.77.0.2", crowd: "10.78.0.2" };
/** Of the right end, towards the crowd. */
export const RIGHT_FROM_CROWD = "10.78.0.1";
/** Addresses of strangers: all of them are local to the crowd. */
export const STRANGERS = "10.200.0.0";
const STRANGERS_PREFIX = `${STRANGERS}/16`;

const TOPOLOGY: Topology = {
  nodes: [{ name: "left" }, { name: "right" }, { name: "crowd" }],
  links: [
    {
      ends: [
        { node: "left", interface: "eth0", address: `${ADDRESS.left}/24` },
        { node: "right", interface: "eth0", address: `${ADDRESS.right}/24` },
      ],
    },
    {
      ends: [
        {
          node: "right",
          interface: "eth1",
          address: `${RIGHT_FROM_CROWD}/24`,
          routes: [{ to: STRANGERS_PREFIX, via: ADDRESS.crowd }],
        },
        { node: "crowd", interface: "eth0", address: `${ADDRESS.crowd}/24` },
      ],
    },
  ],
};

/** The machines and their wires; MTU 1500. */
export async function createWires(captureProgram: string): Promise<Lab> {
  const lab = await createLab(TOPOLOGY, { captureProgram });
  await must(lab.argvOn("crowd", ["ip", "route", "add", "local", STRANGERS_PREFIX, "dev", "lo"]));
  return lab;
}

/**
 * Whether the wire takes many datagrams of one size as one, as a card with UDP segmentation does; plain cards do not.
 * @throws Error when the wire cannot be set so
 */
export async function setUdpSegmentation(lab: Lab, on: boolean): Promise<void> {
  for (const machine of ["left", "right"] as const) {
    await must(lab.argvOn(machine, ["ethtool", "-K", "eth0", "tx-udp-segmentation", on ? "on" : "off"]));
  }
}
