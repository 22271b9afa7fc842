import { spawn } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { enclosed } from "@cloudvlan/test/lab";
import { StartFailure } from "./failure.ts";

/** The file descriptor that ties an enclosed start to the process that supervises it. */
const TETHER = 3;

/**
 * Runs a program in an enclosure and waits for its end: whatever ends this process ends everything in there.
 * @param root stays in the machine's own network namespace, so that the machine itself can join
 * @returns its exit code
 * @throws StartFailure when the kernel refuses the namespaces
 */
export async function runEnclosed(
  argv: readonly string[],
  root: boolean,
  env: NodeJS.ProcessEnv,
  stop: AbortSignal,
): Promise<number> {
  const [program = "", ...args] = enclosed(argv, { as: root ? "root" : "mapped-root", net: !root });
  const child = spawn(program, args, { env, stdio: ["inherit", "inherit", "inherit", "pipe"] });
  const tether = child.stdio[TETHER] as Socket;
  let begun = false;
  tether.once("data", () => (begun = true));
  // The other end closes when the program ends; what matters is the exit code.
  tether.on("error", () => undefined);
  stop.addEventListener("abort", () => tether.end(), { once: true });
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  if (begun || stop.aborted) return code ?? (signal === "SIGINT" ? 130 : 143);
  const remedy = root
    ? "run it on a machine or in a container that may make namespaces (CAP_SYS_ADMIN)"
    : "run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)";
  throw new StartFailure("lab", `this machine refuses the namespaces of the demonstration; ${remedy}`);
}

/** Inside the enclosure: tells the supervisor that the program runs, and calls `onLoss` when the supervisor is gone. */
export function tetherToSupervisor(onLoss: () => void): void {
  const tether = new Socket({ fd: TETHER });
  tether.once("close", onLoss);
  tether.write("begun");
  tether.resume();
  tether.unref();
}
