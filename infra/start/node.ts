import type { Lab } from "@cloudvlan/test/lab";
import { type NodeOptions, type SiteNode, siteNode } from "../site/node.ts";
import type { Programs } from "./programs.ts";

/** Starts the agent of a machine, which starts its engine, and waits until both can be spoken to. */
export async function startNode(
  lab: Lab,
  name: string,
  folder: string,
  programs: Programs,
  options: NodeOptions = {},
): Promise<SiteNode> {
  const node = await siteNode(lab, name, folder, programs, options);
  await node.startAgent();
  await node.engineIsUp();
  return node;
}
