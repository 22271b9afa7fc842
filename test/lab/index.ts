export type { Capture, CapturedPacket } from "./capture.ts";
export { type DemoNetwork, demoNetwork } from "./demo.ts";
export { enclosed, type EnclosureOptions, shellCommand } from "./enclosure.ts";
export { createLab, type Lab, type LabOptions } from "./lab.ts";
export { createNatLab, type NatLab } from "./nat.ts";
export { NAT_KINDS, type NatBehaviour, type NatKind, TRANSLATED_PORTS, type UdpBehaviour } from "./nat-behaviour.ts";
export { type Addresses, type Family, type NatPlan, type NatSite, PUBLIC } from "./nat-network.ts";
export { asOrdinaryUser } from "./ordinary.ts";
export { type Finished, must, run, type RunOptions, start } from "./run.ts";
export { sweep } from "./sweep.ts";
export {
  batchesOf,
  type LabBridge,
  type LabEnd,
  type LabLink,
  type LabNode,
  type LabRoute,
  type Topology,
} from "./topology.ts";
export type { WireCounts, WireOptions } from "./wire.ts";
