import type { TextPrefix } from "./prefix.ts";

/** What the interface should look like, or does. Prefixes are canonical `address/length`. */
export interface InterfaceState {
  /** Bytes. */
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly TextPrefix[];
  readonly routes: readonly TextPrefix[];
}

/**
 * Behind every route that the host has of its own: of two routes to one prefix the smaller metric counts, and a second
 * one of the same metric would take the place of the first, the host's own network for example.
 */
const METRIC = 4_200;

/** Batches of `ip -batch` lines; one that fails does not keep the next from running. */
export interface HostPlan {
  readonly batches: readonly { readonly family: 4 | 6; readonly lines: readonly string[] }[];
}

/**
 * The commands that turn what is into what is wanted, on this one interface.
 * @param name interface, already known to hold no character that `ip` would read otherwise.
 */
export function planHost(name: string, actual: InterfaceState, wanted: InterfaceState): HostPlan {
  const link = [
    ...(actual.mtu === wanted.mtu ? [] : [`link set dev ${name} mtu ${wanted.mtu}`]),
    ...(actual.up ? [] : [`link set dev ${name} up`]),
  ];
  const of = (family: 4 | 6) => [
    ...missing(actual.addresses, wanted.addresses, family).map(
      (text) => `address add ${text} dev ${name}${family === 6 ? " nodad" : ""}`,
    ),
    ...missing(wanted.addresses, actual.addresses, family).map((text) => `address del ${text} dev ${name}`),
    ...missing(actual.routes, wanted.routes, family).map(
      (text) => `route add ${text} dev ${name} proto static metric ${METRIC}`,
    ),
    ...missing(wanted.routes, actual.routes, family).map((text) => `route del ${text} dev ${name} proto static`),
  ];
  const batches = [
    { family: 4 as const, lines: [...link, ...of(4)] },
    { family: 6 as const, lines: of(6) },
  ];
  return { batches: batches.filter(({ lines }) => lines.length > 0) };
}

/** What stands in `b` and not in `a`, of one family. */
function missing(a: readonly TextPrefix[], b: readonly TextPrefix[], family: 4 | 6): string[] {
  const there = new Set(a.map(({ text }) => text));
  return b.filter((prefix) => prefix.family === family && !there.has(prefix.text)).map(({ text }) => text);
}
