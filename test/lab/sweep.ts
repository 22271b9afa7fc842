import { readdir } from "node:fs/promises";
import { must } from "./run.ts";

const NAMESPACES = "/run/netns";
const NAME = /^cv(\d+)-/;

/** Name of a lab's namespace: it carries the id of the process that answers for it. */
export function namespaceName(owner: number, node: string): string {
  return `cv${owner}-${node}`;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Ends every process in the namespaces and removes them. Wires end with them. */
export async function removeNamespaces(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const pids = (await must(["ip", "netns", "pids", name])).split("\n").filter((line) => line !== "");
    for (const pid of pids) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
      }
    }
  }
  if (names.length > 0)
    await must(["ip", "-batch", "-"], { input: names.map((name) => `netns del ${name}\n`).join("") });
}

/** Removes what labs of dead processes left behind. Returns the names of the namespaces it removed. */
export async function sweep(): Promise<string[]> {
  const names = await readdir(NAMESPACES).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const dead = names.filter((name) => {
    const owner = NAME.exec(name)?.[1];
    return owner !== undefined && !alive(Number(owner));
  });
  await removeNamespaces(dead);
  return dead;
}
