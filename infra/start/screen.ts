import { setTimeout as delay } from "node:timers/promises";
import { shellCommand } from "@cloudvlan/test/lab";
import type { Demo } from "./demo.ts";
import type { Programs } from "./programs.ts";
import { tableOf } from "./table.ts";

const REFRESH_MS = 1_000;

/** Where the words go: a terminal can be rewritten. */
export interface Screen {
  readonly isTerminal: boolean;
  write(text: string): void;
}

/** What to type in another terminal while the demonstration runs. */
export async function hints(demo: Demo, programs: Programs, enclosure: string, root: boolean): Promise<string[]> {
  const shells = demo.nodes.map(
    ({ name }) =>
      `a shell on ${name}:  ${root ? "sudo " : ""}${shellCommand(enclosure, demo.lab.namespace(name), root)}`,
  );
  const real = "for machines elsewhere run the control plane itself: npm start -- --no-demo";
  if (!root) return [...shells, `this machine's own network is out of reach without root; ${real}`];
  const state = "/var/lib/cloudvlan/node";
  return [
    ...shells,
    "to let this machine in (good once, for an hour):",
    `  sudo ${programs.node} ${programs.agent} --state ${state} --engine ${programs.engine} &`,
    `  echo ${await demo.tenant.newJoinString()} | sudo ${programs.node} ${programs.cli} join --state ${state}`,
    real,
  ];
}

/** Shows how the machines of the demonstration see each other, until the process ends. */
export async function showDemo(
  demo: Demo,
  below: readonly string[],
  screen: Screen,
  nowMs: () => number,
): Promise<never> {
  for (let first = true; ; first = false) {
    const statuses = await Promise.all(demo.nodes.map((node) => node.status()));
    const table = tableOf(
      statuses.filter((status) => status !== undefined),
      nowMs(),
    );
    const text = [...table, "", ...below, "", "Ctrl-C ends and removes everything.", ""].join("\n");
    if (screen.isTerminal) screen.write(`\x1b[H\x1b[2J${text}`);
    else if (first) screen.write(text);
    await delay(REFRESH_MS);
  }
}
