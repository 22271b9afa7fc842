/** How a NAT treats UDP, in the terms of RFC 4787, sections 4.1 and 5. */
export interface UdpBehaviour {
  /** Whether an internal address and port look the same to everybody, or otherwise to each destination. */
  readonly mapping: "endpoint-independent" | "address-and-port-dependent";
  /** From whom a mapping lets packets in: anybody, addresses that were sent to, or addresses and ports that were sent to. */
  readonly filtering: "endpoint-independent" | "address-dependent" | "address-and-port-dependent";
}

/** The names of RFC 3489, section 5, for the four behaviours that decide who can punch to whom. */
export const NAT_KINDS = {
  "full-cone": { mapping: "endpoint-independent", filtering: "endpoint-independent" },
  "address-restricted": { mapping: "endpoint-independent", filtering: "address-dependent" },
  "port-restricted": { mapping: "endpoint-independent", filtering: "address-and-port-dependent" },
  symmetric: { mapping: "address-and-port-dependent", filtering: "address-and-port-dependent" },
} as const satisfies Readonly<Record<string, UdpBehaviour>>;

export type NatKind = keyof typeof NAT_KINDS;

/** What a router does with the packets of those behind it. */
export interface NatBehaviour {
  readonly kind: NatKind;
  /**
   * Whether a mapping has the port of the host where that is free (the default), or another one of
   * `TRANSLATED_PORTS`; a symmetric NAT always takes another one, at random.
   */
  readonly ports?: "preserved" | "translated";
  /**
   * Whether those behind it reach each other by their external addresses, and then see external ones (RFC 4787, section 6);
   * not by default. What comes by that way is not filtered.
   */
  readonly hairpin?: boolean;
  /** After so many seconds without a packet from inside a mapping is forgotten; 120 by default (RFC 4787, section 4.3). */
  readonly udpTimeoutSeconds?: number;
  /** What may leave: everything (the default), no UDP, or of UDP and TCP only TCP to port 443. */
  readonly outbound?: "all" | "no-udp" | "tcp-443";
}

/** Below the ports that Linux gives to sockets, so that none of these is a host's own by chance. */
export const TRANSLATED_PORTS = { first: 10_000, last: 29_999 } as const;
