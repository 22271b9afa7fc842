export type { Capture, CapturedPacket } from "./capture.ts";
export { type DemoNetwork, demoNetwork } from "./demo.ts";
export { enclosed, type EnclosureOptions, shellCommand } from "./enclosure.ts";
export { createLab, type Lab, type LabOptions } from "./lab.ts";
export { asOrdinaryUser } from "./ordinary.ts";
export { type Finished, must, run, type RunOptions, start } from "./run.ts";
export { sweep } from "./sweep.ts";
export { batchesOf, type LabEnd, type LabLink, type LabNode, type Topology } from "./topology.ts";
