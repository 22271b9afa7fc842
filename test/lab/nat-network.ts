import type { NatBehaviour } from "./nat-behaviour.ts";
import { WAN } from "./nat-rules.ts";
import type { LabEnd, LabLink, LabNode, LabRoute, Topology } from "./topology.ts";
import type { WireOptions } from "./wire.ts";

/** The segment that stands for the internet, and the machine that joins it together. */
export const PUBLIC = "public";

export type Family = "ipv4" | "ipv6";
export type Addresses = Readonly<Partial<Record<Family, string>>>;

export interface NatSite extends NatBehaviour {
  /** What the router gives to those behind it: IPv4 alone by default. There is no translation of IPv6, but a firewall that lets in what was asked for. */
  readonly families?: readonly Family[];
  /** The router that this one is behind, as a home is behind a carrier's NAT; none by default. */
  readonly behind?: string;
}

/** Who is where. Names have at most 12 bytes. */
export interface NatPlan<Server extends string, Nat extends string, Host extends string> {
  /** Machines of the public segment, at most 80, with both families: STUN, relays, controllers. */
  readonly servers: readonly Server[];
  /** The server that is the lab's own process. */
  readonly current?: NoInfer<Server>;
  /** Routers, at most 90. */
  readonly nats: Readonly<Record<Nat, NatSite>>;
  /** At most 50; each behind a router, or on the public segment. */
  readonly hosts: Readonly<Record<Host, NoInfer<Nat> | typeof PUBLIC>>;
  /** Impaired uplinks, by whose they are. */
  readonly wires?: Readonly<Partial<Record<NoInfer<Server | Nat | Host>, WireOptions>>>;
}

export interface NatNetwork {
  readonly topology: Topology;
  /** Where a machine is when it is behind a router, or on the public segment; a router's addresses are those outside. */
  addresses(name: string, segment: string): Addresses;
  /** Where the plan puts a machine. */
  segmentOf(name: string): string;
  /** The interface of a machine towards its segment. */
  uplinkOf(name: string): string;
  /** The wire of a machine to a segment. */
  uplink(name: string, segment: string): LabLink;
}

const BRIDGE = "lan";
const LIMITS = { servers: 80, nats: 90, hosts: 50 } as const;
const NAME = /^[a-z0-9][a-z0-9-]{0,11}$/;
/** Documentation addresses stand for public ones (RFC 5737, RFC 3849), between carrier and home there are shared ones (RFC 6598). */
const ALL_IPV6 = "2001:db8::/32";

interface Segment {
  readonly families: readonly Family[];
  /** Address of the machine with a number on it; the gateway is number 1. */
  readonly at: (number: number) => Record<Family, string>;
  readonly ipv6Prefix: string;
}

const prefix = (family: Family, bits?: "alone"): string =>
  family === "ipv4" ? (bits ? "/32" : "/24") : bits ? "/128" : "/64";

/**
 * A public segment with servers, routers on it or behind each other, and hosts.
 * @throws Error when a name is not usable, there is too much, or something is behind what is not there
 */
export function natNetwork<Server extends string, Nat extends string, Host extends string>(
  plan: NatPlan<Server, Nat, Host>,
): NatNetwork {
  const sites = new Map<string, NatSite>(Object.entries(plan.nats));
  const hosts = new Map<string, string>(Object.entries(plan.hosts));
  const wires = new Map<string, WireOptions>(Object.entries(plan.wires ?? {}));
  const parentOf = (name: string): string => hosts.get(name) ?? sites.get(name)?.behind ?? PUBLIC;

  const numbers = new Map<string, number>();
  const number = (names: readonly string[], first: number, most: number): void => {
    if (names.length > most) throw new Error(`the lab has at most ${most} of a sort, these are ${names.length}`);
    names.forEach((name, at) => {
      if (!NAME.test(name) || name === PUBLIC || numbers.has(name)) throw new Error(`${name} cannot be a name here`);
      numbers.set(name, first + at);
    });
  };
  number(plan.servers, 10, LIMITS.servers);
  number([...sites.keys()], 100, LIMITS.nats);
  number([...hosts.keys()], 200, LIMITS.hosts);
  const numberOf = (name: string): number => {
    const found = numbers.get(name);
    if (found === undefined) throw new Error(`${name} is not in the plan`);
    return found;
  };
  const familiesOf = (segment: string): readonly Family[] =>
    segment === PUBLIC ? ["ipv4", "ipv6"] : (sites.get(segment)?.families ?? ["ipv4"]);

  const segmentNamed = (segment: string): Segment => {
    if (segment !== PUBLIC && !sites.has(segment)) throw new Error(`there is no router ${segment}`);
    const third = segment === PUBLIC ? 0 : numberOf(segment);
    const isCarrier = [...sites.values()].some(({ behind }) => behind === segment);
    const net = segment === PUBLIC ? "203.0.113" : `${isCarrier ? "100.127" : "192.168"}.${third}`;
    const net6 = third === 0 ? "2001:db8:" : `2001:db8:${third}:`;
    return {
      families: familiesOf(segment),
      at: (host) => ({ ipv4: `${net}.${host}`, ipv6: `${net6}:${host}` }),
      ipv6Prefix: `${net6}:/64`,
    };
  };
  const addresses = (name: string, segment: string): Addresses => {
    const { families, at } = segmentNamed(segment);
    const own = sites.has(name) ? familiesOf(name) : families;
    const all = at(numberOf(name));
    return Object.fromEntries(families.filter((family) => own.includes(family)).map((family) => [family, all[family]]));
  };
  const pairs = (all: Addresses): (readonly [Family, string])[] =>
    (["ipv4", "ipv6"] as const).flatMap((family) => {
      const address = all[family];
      return address === undefined ? [] : [[family, address] as const];
    });
  for (const [name, site] of sites) {
    let outer = parentOf(name);
    for (let steps = 0; outer !== PUBLIC; steps += 1) {
      if (!sites.has(outer)) throw new Error(`${name} is behind ${outer}, which is no router`);
      if (steps === sites.size) throw new Error(`${name} is behind itself`);
      outer = parentOf(outer);
    }
    const above = familiesOf(parentOf(name));
    for (const family of site.families ?? []) {
      if (!above.includes(family)) throw new Error(`${name} cannot have ${family}: ${parentOf(name)} has none`);
    }
  }

  /** Prefixes of IPv6 behind a router, its own and those of routers behind it. */
  const prefixesBehind = (nat: string): string[] => {
    const inner = [...sites.keys()].filter((name) => parentOf(name) === nat).flatMap(prefixesBehind);
    return familiesOf(nat).includes("ipv6") ? [segmentNamed(nat).ipv6Prefix, ...inner] : inner;
  };
  /** How a segment's router finds what is behind another router. */
  const routesBehind = (name: string, segment: string, via: "gateway" | "wire"): LabRoute[] => {
    if (!sites.has(name)) return [];
    const { ipv6 } = addresses(name, segment);
    return prefixesBehind(name).map((to) => (via === "wire" || ipv6 === undefined ? { to } : { to, via: ipv6 }));
  };
  /** An impaired wire does not end on the bridge: the others go through the router to reach it. */
  const routesToImpaired = (name: string, segment: string): LabRoute[] => {
    const own = addresses(name, segment);
    return [...wires.keys()]
      .filter((other) => other !== name && parentOf(other) === segment)
      .flatMap((other) =>
        pairs(addresses(other, segment))
          .filter(([family]) => own[family] !== undefined)
          .map(([family, address]) => ({
            to: address + prefix(family, "alone"),
            via: segmentNamed(segment).at(1)[family],
          })),
      );
  };
  const uplinkOf = (name: string): string => (sites.has(name) ? WAN : name === plan.current ? "cvpublic" : "eth0");

  const uplink = (name: string, segment: string): LabLink => {
    const own = pairs(addresses(name, segment));
    const gateway = segmentNamed(segment).at(1);
    const wire = wires.get(name);
    const isServer = plan.servers.some((server) => server === name);
    const away: LabRoute[] = isServer
      ? [{ to: ALL_IPV6, via: gateway.ipv6 }]
      : own.map(([family]) => ({ to: "default", via: gateway[family] }));
    const alone = own.map(([family, address]) => ({ to: address + prefix(family, "alone") }));
    const outer: LabEnd = wire
      ? { node: segment, interface: `to-${name}`, routes: [...alone, ...routesBehind(name, segment, "wire")] }
      : { node: segment, interface: `to-${name}`, bridge: BRIDGE };
    const inner: LabEnd = {
      node: name,
      interface: uplinkOf(name),
      address: own.map(([family, address]) => address + prefix(family)),
      routes: [...(wire ? [] : routesToImpaired(name, segment)), ...away],
    };
    return { ends: [inner, outer], ...(wire ? { wire } : {}) };
  };
  const router = (segment: string): LabNode => {
    const { families, at } = segmentNamed(segment);
    const direct = [...sites.keys()].filter((name) => parentOf(name) === segment && !wires.has(name));
    const address = families.map((family) => at(1)[family] + prefix(family));
    const routes = direct.flatMap((name) => routesBehind(name, segment, "gateway"));
    return { name: segment, router: true, bridges: [{ interface: BRIDGE, address, routes }] };
  };

  return {
    topology: {
      nodes: [
        ...[PUBLIC, ...sites.keys()].map(router),
        ...plan.servers.map((name) => ({ name, current: name === plan.current })),
        ...[...hosts.keys()].map((name) => ({ name })),
      ],
      links: [...numbers.keys()].map((name) => uplink(name, parentOf(name))),
    },
    addresses,
    segmentOf: parentOf,
    uplinkOf,
    uplink,
  };
}
