import { NAT_KINDS, type NatBehaviour, TRANSLATED_PORTS } from "./nat-behaviour.ts";

/** Of a router, towards the public segment. */
export const WAN = "wan";

const UDP_TIMEOUT_S = 120;
/** Elements of a set, each a mapping or a destination of one. */
const MOST = 65_535;

const FILTERS = {
  // Anybody is let in to an address that is mapped.
  "endpoint-independent": [`iifname ${WAN} dnat ip to udp dport map @external`],
  "address-dependent": [`iifname ${WAN} ip saddr . udp dport @called dnat ip to udp dport map @external`],
  // The kernel's connection tracking does this by itself.
  "address-and-port-dependent": [],
} as const;

const OUTBOUND = {
  all: [],
  "no-udp": ["meta l4proto udp drop"],
  "tcp-443": ["meta l4proto udp drop", "tcp dport != 443 drop"],
} as const;

const block = (head: string, lines: readonly string[]): string => `${head} {\n${lines.join("\n")}\n}`;
const chain = (name: string, hook: string, rules: readonly string[]): string =>
  block(`chain ${name}`, [`type ${hook};`, ...rules]);

/** Seconds after which a mapping is forgotten. */
export function udpTimeout(behaviour: NatBehaviour): number {
  return behaviour.udpTimeoutSeconds ?? UDP_TIMEOUT_S;
}

/**
 * The script for `nft` that makes a router of one behaviour; it replaces what was there, mappings as well.
 * @param wan IPv4 address of the router towards the public segment; without it there is no IPv4 and no NAT
 * @param zone 1 to 65,535, another one each time: connections of former zones are not known any more
 */
export function natRules(behaviour: NatBehaviour, wan: string | undefined, zone: number): string {
  const outbound = OUTBOUND[behaviour.outbound ?? "all"];
  const zoned = [`ct zone set ${zone}`];
  const guard = block("table inet guard", [
    chain("arriving", "filter hook prerouting priority raw", zoned),
    chain("own", "filter hook output priority raw", zoned),
    // What is not let in must not be taken by the router itself: a connection of its own would stand in the way of
    // that which a host is about to open to the same peer, and change its port.
    chain("input", "filter hook input priority filter", [
      `iifname ${WAN} meta l4proto { tcp, udp } ct state new drop`,
      ...(wan === undefined ? [] : [`iifname != { ${WAN}, lo } ip daddr ${wan} meta l4proto { tcp, udp } drop`]),
    ]),
    chain("forward", "filter hook forward priority filter", [
      `iifname ${WAN} meta l4proto { tcp, udp } ct state new ct status & dnat == 0 drop`,
      ...outbound.map((rule) => `iifname != ${WAN} oifname ${WAN} ${rule}`),
    ]),
  ]);
  return ["flush ruleset", guard, ...(wan === undefined ? [] : [translation(behaviour, wan)])].join("\n");
}

function translation(behaviour: NatBehaviour, wan: string): string {
  const { mapping, filtering } = NAT_KINDS[behaviour.kind];
  const range = `:${TRANSLATED_PORTS.first}-${TRANSLATED_PORTS.last}`;
  const set = (head: string, type: string): string =>
    block(head, [`type ${type};`, "flags dynamic,timeout;", `timeout ${udpTimeout(behaviour)}s;`, `size ${MOST};`]);
  const leaving = {
    "address-and-port-dependent": [`oifname ${WAN} meta l4proto udp masquerade fully-random`],
    "endpoint-independent":
      behaviour.ports === "translated"
        ? // The kernel gives a source that is mapped already the same port again.
          [`oifname ${WAN} meta l4proto udp masquerade to ${range}`]
        : [
            `oifname ${WAN} udp sport . ip saddr @owned masquerade`,
            `oifname ${WAN} udp sport @taken masquerade to ${range}`,
          ],
  }[mapping];
  return block("table ip translation", [
    // By external port: whom a mapping belongs to, whom it called, and which hosts kept the port they had.
    set("map external", "inet_service : ipv4_addr . inet_service"),
    set("set called", "ipv4_addr . inet_service"),
    set("set taken", "inet_service"),
    set("set owned", "inet_service . ipv4_addr"),
    chain("arriving", "nat hook prerouting priority dstnat", [
      ...FILTERS[filtering],
      ...(behaviour.hairpin ? [`iifname != { ${WAN}, lo } ip daddr ${wan} dnat ip to udp dport map @external`] : []),
    ]),
    chain("leaving", "nat hook postrouting priority srcnat", [
      ...leaving,
      `oifname ${WAN} masquerade`,
      `iifname != { ${WAN}, lo } oifname != ${WAN} meta l4proto udp ct status & dnat == dnat ${hairpinSource(behaviour, wan, range)}`,
    ]),
    chain("learning", "filter hook postrouting priority srcnat + 10", [
      `oifname != ${WAN} return`,
      // An update of what is there renews its time and nothing else.
      "ct direction original update @external { udp sport : ct original ip saddr . ct original proto-src }",
      "ct direction reply update @external { udp sport : ct reply ip saddr . ct reply proto-src }",
      "ct direction original update @owned { udp sport . ct original ip saddr }",
      "update @called { ip daddr . udp sport } update @taken { udp sport }",
    ]),
  ]);
}

/** A host that is reached by its external address sees the external address of the one that called. */
function hairpinSource(behaviour: NatBehaviour, wan: string, range: string): string {
  const { mapping } = NAT_KINDS[behaviour.kind];
  if (mapping === "address-and-port-dependent") return `snat to ${wan} fully-random`;
  return behaviour.ports === "translated" ? `snat to ${wan}${range}` : `snat to ${wan}`;
}
