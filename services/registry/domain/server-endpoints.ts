import type { DiscoveryEndpoint } from "@cloudvlan/gen/entity/v1/discovery_server_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { type Address, formatAddress, parseAddress, type SpecialUse, specialUse, unmapped } from "@cloudvlan/kit/net";

/** Addresses at which no single host answers. Private and loopback ones do: a lab uses them. */
const NO_HOST: ReadonlySet<SpecialUse | undefined> = new Set(["unspecified", "multicast", "broadcast"]);

/** Where a server answers. */
export interface Endpoint {
  readonly address: Address;
  /** 1 to 65,535. */
  readonly port: number;
}

/**
 * The endpoints of one server as they are stored: each `address:port` in one form.
 * @throws Refusal `invalid` naming the field of `endpoints`.
 */
export function checkEndpoints(given: readonly DiscoveryEndpoint[]): string[] {
  const texts: string[] = [];
  for (const [index, { address: text, port }] of given.entries()) {
    const field = `endpoints[${index}]`;
    const parsed = parseAddress(text);
    if (!parsed) {
      throw new Refusal("invalid", "ENDPOINT_MALFORMED", `${JSON.stringify(text)} is no IP address`, {
        field: `${field}.address`,
        remedy: "give an IPv4 or IPv6 address without a zone; names are not looked up by nodes",
      });
    }
    const address = unmapped(parsed);
    const use = specialUse(address);
    if (NO_HOST.has(use)) {
      throw new Refusal("invalid", "ENDPOINT_UNUSABLE", `${text} (${use}) is not the address of one host`, {
        field: `${field}.address`,
        remedy: "give the address at which nodes reach the server",
      });
    }
    const endpoint = formatEndpoint({ address, port });
    if (texts.includes(endpoint)) {
      throw new Refusal("invalid", "ENDPOINT_TWICE", `${endpoint} is named twice`, {
        field,
        remedy: "name each endpoint once",
      });
    }
    texts.push(endpoint);
  }
  return texts;
}

function formatEndpoint({ address, port }: Endpoint): string {
  const host = formatAddress(address);
  return address.length === 16 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** @param text as `checkEndpoints` gave it. */
export function parseEndpoint(text: string): Endpoint {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]+)$/.exec(text) ?? [];
  const address = parseAddress(bracketed ?? plain ?? "");
  if (!address) throw new Error("a stored endpoint is none");
  return { address, port: Number(port) };
}
