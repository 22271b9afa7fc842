import { isIP } from "node:net";
import * as z from "zod";

const ENDPOINT = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/;
const PORT_RULE = "must end with a port, 1 to 65535";

/** Host and port of `HOST:PORT` or `[IPV6]:PORT`; undefined when it is neither. */
export function splitEndpoint(text: string): { host: string; port: number } | undefined {
  const [, v6, plain, digits] = ENDPOINT.exec(text) ?? [];
  const host = v6 ?? plain;
  const port = Number(digits);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

function isLoopback(host: string): boolean {
  return host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

const endpoint = z.string().max(300);
const loopback = endpoint.refine((text) => isLoopback(splitEndpoint(text)?.host ?? ""), {
  message: "must be a loopback address and a port, for example 127.0.0.1:1080",
});
const inOverlay = endpoint.refine((text) => splitEndpoint(text) !== undefined, {
  message: `must be HOST:PORT, where HOST is a peer's name or an address of the overlay, and ${PORT_RULE}`,
});
const onHost = endpoint.refine((text) => isIP(splitEndpoint(text)?.host ?? "") !== 0, {
  message: `must be ADDRESS:PORT of this host or one that it reaches, and ${PORT_RULE}`,
});
const protocol = z.enum(["tcp", "udp"]);

/** SOCKS 5 and HTTP into the overlay. */
export const proxySchema = loopback;

/** A port forward: into the overlay from a loopback port of the host, or from a port of this node's overlay addresses. */
export const forwardSchema = z.discriminatedUnion("direction", [
  z.strictObject({ direction: z.literal("into_overlay"), protocol, listen: loopback, target: inOverlay }),
  z.strictObject({
    direction: z.literal("from_overlay"),
    protocol,
    /** Of every own overlay address. */
    listen: z.int().min(1).max(65_535),
    target: onHost,
  }),
]);

export type Forward = z.infer<typeof forwardSchema>;
