import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Lab } from "@cloudvlan/test/lab";
import type { SiteNode } from "../site/node.ts";
import { program } from "../site/process.ts";

/** How the machines of the demonstration meet the overlay. */
export type Mode = "tun" | "userspace";

const TUN = "/dev/net/tun";
const PROXY_PORT = 1_080;
const SERVICE_PORT = 8_080;
const UDP_PORT = 8_053;

const script = (name: string): string => fileURLToPath(new URL(`traffic/${name}.ts`, import.meta.url));

/** TUN, unless something else is asked for or the device is closed to this user. */
export function modeOf(userspace: boolean): Mode {
  if (userspace) return "userspace";
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
    return "tun";
  } catch {
    return "userspace";
  }
}

/** Configuration of the agents of both machines: a proxy on the first, services of the second, a UDP port between them. */
export const userspaceConfig = {
  hosta: {
    interface_kind: "userspace",
    proxy: `127.0.0.1:${PROXY_PORT}`,
    forwards: [
      { direction: "into_overlay", protocol: "udp", listen: `127.0.0.1:${UDP_PORT}`, target: `hostb:${SERVICE_PORT}` },
    ],
  },
  hostb: {
    interface_kind: "userspace",
    forwards: ["tcp", "udp"].map((protocol) => ({
      direction: "from_overlay",
      protocol,
      listen: SERVICE_PORT,
      target: `127.0.0.1:${SERVICE_PORT}`,
    })),
  },
} as const;

/**
 * Sends TCP through the proxy and UDP through the forward of the first machine to the second.
 * @throws Error when something else comes back, or nothing
 */
export async function carryTraffic(lab: Lab, [a, b]: readonly [SiteNode, SiteNode], node: string, folder: string) {
  const argv = [node, script("server"), "127.0.0.1", String(SERVICE_PORT)];
  const server = program(lab.argvOn(b.name, argv), join(folder, `${b.name}-server.out`));
  await server.start();
  try {
    await server.until("a service on hostb", async () => (await server.output()).includes("listening") || undefined);
    for (const words of [
      ["socks", String(PROXY_PORT), b.name, String(SERVICE_PORT)],
      ["udp", "127.0.0.1", String(UDP_PORT)],
    ]) {
      const { code, stderr } = await lab.exec(a.name, [node, script("client"), ...words]);
      if (code !== 0) throw new Error(`${words[0]} from ${a.name} to ${b.name}: ${stderr.trim() || "no answer"}`);
    }
  } finally {
    await server.end("SIGKILL");
  }
}
