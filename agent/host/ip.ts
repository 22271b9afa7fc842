import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import * as z from "zod";
import { Refusal } from "@cloudvlan/kit/errors";
import { errnoOf } from "../state/files.ts";
import type { InterfaceState } from "./plan.ts";
import type { TextPrefix } from "./prefix.ts";

const run = promisify(execFile);

/** Milliseconds for one `ip`; 20,000 routes take it under a second. */
const TIMEOUT_MS = 20_000;

const links = z.array(
  z.object({
    mtu: z.int(),
    flags: z.array(z.string()),
    addr_info: z.array(
      z.object({ family: z.string(), local: z.string(), prefixlen: z.int(), scope: z.string().optional() }),
    ),
  }),
);

/**
 * The interface as it is: addresses but the link-local ones, and the routes that this program set (`proto static`).
 * @returns undefined when there is no such interface.
 * @throws Refusal when `ip` is missing or may not be used.
 */
export async function readInterface(name: string): Promise<InterfaceState | undefined> {
  let shown: string;
  try {
    shown = await ip(["-j", "address", "show", "dev", name]);
  } catch (error) {
    if (error instanceof Error && error.message.includes("does not exist")) return undefined;
    throw error;
  }
  const [link] = links.parse(JSON.parse(shown));
  if (!link) return undefined;
  const [v4, v6] = await Promise.all([4, 6].map((family) => readRoutes(name, family === 4 ? 4 : 6)));
  return {
    mtu: link.mtu,
    up: link.flags.includes("UP"),
    addresses: link.addr_info
      .filter(({ scope }) => scope !== "link")
      .map(({ family, local, prefixlen }) => ({ family: family === "inet" ? 4 : 6, text: `${local}/${prefixlen}` })),
    routes: [...(v4 ?? []), ...(v6 ?? [])],
  };
}

/** Line by line: a host may have thousands of routes, and they are looked at each few seconds. */
async function readRoutes(name: string, family: 4 | 6): Promise<TextPrefix[]> {
  const args = [`-${family}`, "-o", "route", "show", "dev", name, "proto", "static"];
  const child = spawn("ip", args, { stdio: ["ignore", "pipe", "pipe"], timeout: TIMEOUT_MS });
  const found: TextPrefix[] = [];
  const read = async (): Promise<void> => {
    for await (const line of createInterface({ input: child.stdout })) {
      const [destination = ""] = line.split(" ", 1);
      if (destination !== "") found.push({ family, text: withLength(destination, family) });
    }
  };
  await Promise.all([endOf(child), read()]);
  return found;
}

/** `ip` leaves the length off a host route and calls the widest route `default`. */
function withLength(destination: string, family: 4 | 6): string {
  if (destination === "default") return family === 4 ? "0.0.0.0/0" : "::/0";
  if (destination.includes("/")) return destination;
  return `${destination}/${family === 4 ? 32 : 128}`;
}

/**
 * Runs `ip -batch -`; a line that fails does not keep the next from running.
 * @throws Refusal with the words of `ip` about the first that failed.
 */
export async function runBatch(family: 4 | 6, lines: readonly string[]): Promise<void> {
  const child = spawn("ip", [`-${family}`, "-force", "-batch", "-"], {
    stdio: ["pipe", "ignore", "pipe"],
    timeout: TIMEOUT_MS,
  });
  // `ip` that ends early closes the pipe; its exit code says why.
  child.stdin.on("error", () => undefined);
  child.stdin.end(`${lines.join("\n")}\n`);
  await endOf(child);
}

/** @throws Refusal with the words of `ip` when it did not end well. */
async function endOf(child: ChildProcess & { readonly stderr: Readable }): Promise<void> {
  const words: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (words.length < 16) words.push(text);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", (error) => reject(ipRefusal(error, "")));
    child.once("close", resolve);
  });
  if (code !== 0) throw ipRefusal(undefined, words.join(""));
}

async function ip(args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run("ip", args, { timeout: TIMEOUT_MS });
    return stdout;
  } catch (error) {
    throw ipRefusal(error, error instanceof Error && "stderr" in error ? String(error.stderr) : "");
  }
}

function ipRefusal(error: unknown, words: string): Refusal {
  if (errnoOf(error) === "ENOENT") {
    return new Refusal("unavailable", "IP_MISSING", "the command `ip` is not installed", {
      remedy: "install the package iproute2",
    });
  }
  const said = words.trim().split("\n")[0] ?? "";
  if (/not permitted|permission denied/i.test(words)) {
    return new Refusal("denied", "IP_NOT_PERMITTED", `ip: ${said}`, {
      remedy: "run the agent as root, or with CAP_NET_ADMIN in its network namespace",
    });
  }
  return new Refusal("unavailable", "IP_FAILED", `ip: ${said || "it failed without a word"}`, {
    remedy: "it is tried again by itself; see `ip -details link show`",
  });
}
